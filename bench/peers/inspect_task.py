"""The same prompts as an Inspect task without a scorer."""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import generate

from prompts import prompt


@task
def replay(count: int = 1000):
    samples = [Sample(input=prompt(number), id=number) for number in range(count)]
    return Task(dataset=MemoryDataset(samples), solver=generate())
