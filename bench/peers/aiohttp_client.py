"""COUNT prompts, CONNECTIONS at a time, through aiohttp on uvloop: reads each answer's text and
keeps nothing. Usage: aiohttp_client.py URL COUNT CONNECTIONS"""

import asyncio
import sys

import aiohttp
import uvloop

from prompts import prompt


async def main(url, count, connections):
    numbers = iter(range(count))
    answered = 0

    async def work(session):
        nonlocal answered
        for number in numbers:
            body = {
                "model": "mock",
                "messages": [{"role": "user", "content": prompt(number)}],
                "seed": number,
            }
            async with session.post(f"{url}/chat/completions", json=body) as answer:
                document = await answer.json()
                answered += bool(document["choices"][0]["message"]["content"])

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(connections)))
    if answered != count:
        sys.exit(f"{answered} of {count} answered")


uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
