"""The tools of an airline's agent as a Model Context Protocol server over stdin and stdout.

Written for tests against recorded runs: the argument is a folder with flights.json,
reservations.json and users.json. The world is this process: it begins as the files say and keeps
what is changed.
"""

import copy
import json
import pathlib
import re
import sys

CREATED_AT = "2024-05-15T15:00:00"
NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
NEW_CERTIFICATES = (3221322, 3221323, 3221324)
AIRPORTS = {
    "SFO": "San Francisco", "JFK": "New York", "LAX": "Los Angeles", "ORD": "Chicago",
    "DFW": "Dallas", "DEN": "Denver", "SEA": "Seattle", "ATL": "Atlanta", "MIA": "Miami",
    "BOS": "Boston", "PHX": "Phoenix", "IAH": "Houston", "LAS": "Las Vegas", "MCO": "Orlando",
    "EWR": "Newark", "CLT": "Charlotte", "MSP": "Minneapolis", "DTW": "Detroit",
    "PHL": "Philadelphia", "LGA": "LaGuardia",
}  # fmt: skip


class Refused(Exception):
    """What the tool says instead of doing it."""


class World:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.tables = {}

    def table(self, name):
        """Read when it is first asked for: most worlds need only some of it."""
        if name not in self.tables:
            self.tables[name] = json.loads((self.folder / f"{name}.json").read_bytes())
        return self.tables[name]

    def user(self, user_id):
        if user_id not in self.table("users"):
            raise Refused("user not found")
        return self.table("users")[user_id]

    def reservation(self, reservation_id):
        if reservation_id not in self.table("reservations"):
            raise Refused("reservation not found")
        return self.table("reservations")[reservation_id]

    def seat_price(self, number, date, cabin, passengers):
        """The flight and the price of one seat on it, when there are enough of them."""
        flight = self.table("flights").get(number)
        if flight is None:
            raise Refused(f"flight {number} not found")
        day = flight["dates"].get(date)
        if day is None:
            raise Refused(f"flight {number} not found on date {date}")
        if day["status"] != "available":
            raise Refused(f"flight {number} not available on date {date}")
        if day["available_seats"][cabin] < passengers:
            raise Refused(f"not enough seats on flight {number}")
        return flight, day["prices"][cabin]

    def flights_on(self, origin, destination, date):
        """Flights of that day with seats, without their calendar; None for any destination."""
        for flight in self.table("flights").values():
            day = flight["dates"].get(date)
            if flight["origin"] != origin or destination not in (None, flight["destination"]):
                continue
            if day is None or day["status"] != "available":
                continue
            found = {key: value for key, value in flight.items() if key != "dates"}
            found.update((k, v) for k, v in day.items() if k != "status" or v == "available")
            yield found


def leg(wanted, flight, price):
    return {
        **wanted,
        "price": price,
        "origin": flight["origin"],
        "destination": flight["destination"],
    }


# ---- tools that read ----


def get_user_details(world, user_id):
    return world.user(user_id)


def get_reservation_details(world, reservation_id):
    return world.reservation(reservation_id)


def list_all_airports(world):
    return AIRPORTS


def search_direct_flight(world, origin, destination, date):
    return list(world.flights_on(origin, destination, date))


def search_onestop_flight(world, origin, destination, date):
    found = []
    for first in world.flights_on(origin, None, date):
        overnight = first["scheduled_arrival_time_est"].endswith("+1")
        next_date = f"2024-05-{int(date[-2:]) + 1}" if overnight else date
        for second in world.flights_on(first["destination"], destination, next_date):
            arrives = first["scheduled_arrival_time_est"]
            if second["scheduled_departure_time_est"] < arrives:
                continue
            # The recorded airline names the next day but shows the seats and prices of the first.
            day = world.table("flights")[second["flight_number"]]["dates"].get(date, {})
            shown = {key: day[key] for key in ("available_seats", "prices") if key in day}
            found.append([{**first, "date": date}, {**second, **shown, "date": next_date}])
    return found


def calculate(world, expression):
    if not re.fullmatch(r"[0-9+\-*/(). ]*", expression):
        raise Refused("invalid characters in expression")
    try:
        return str(round(float(eval(expression, {"__builtins__": {}}, {})), 2))
    except (SyntaxError, ZeroDivisionError, TypeError) as error:
        raise Refused(str(error)) from error


def think(world, thought):
    return ""


def transfer_to_human_agents(world, summary):
    return "Transfer successful"


# ---- tools that write ----


def check_payments(user, payments, total):
    for payment in payments:
        method = user["payment_methods"].get(payment["payment_id"])
        if method is None:
            raise Refused(f"payment method {payment['payment_id']} not found")
        if method["source"] != "credit_card" and method["amount"] < payment["amount"]:
            raise Refused(f"not enough balance in payment method {payment['payment_id']}")
    paid = sum(payment["amount"] for payment in payments)
    if paid != total:
        raise Refused(f"payment amount does not add up, total price is {total}, but paid {paid}")


def take_payments(user, payments):
    for payment in payments:
        method = user["payment_methods"][payment["payment_id"]]
        if method["source"] == "gift_card":
            method["amount"] -= payment["amount"]
        elif method["source"] == "certificate":
            del user["payment_methods"][payment["payment_id"]]


def book_reservation(
    world, user_id, origin, destination, flight_type, cabin, flights, passengers,
    payment_methods, total_baggages, nonfree_baggages, insurance,
):  # fmt: skip
    user = world.user(user_id)
    people = len(passengers)
    legs = []
    for wanted in flights:
        flight, price = world.seat_price(wanted["flight_number"], wanted["date"], cabin, people)
        legs.append(leg(wanted, flight, price))
    total = people * sum(one["price"] for one in legs) + 50 * nonfree_baggages
    if insurance == "yes":
        total += 30 * people
    check_payments(user, payment_methods, total)
    take_payments(user, payment_methods)
    taken = world.table("reservations")
    reservation_id = next((new for new in NEW_RESERVATIONS if new not in taken), "HATHAV")
    taken[reservation_id] = {
        "reservation_id": reservation_id,
        "user_id": user_id,
        "origin": origin,
        "destination": destination,
        "flight_type": flight_type,
        "cabin": cabin,
        "flights": legs,
        "passengers": passengers,
        "payment_history": copy.deepcopy(payment_methods),
        "created_at": CREATED_AT,
        "total_baggages": total_baggages,
        "nonfree_baggages": nonfree_baggages,
        "insurance": insurance,
    }
    user["reservations"].append(reservation_id)
    return taken[reservation_id]


def cancel_reservation(world, reservation_id):
    reservation = world.reservation(reservation_id)
    refunds = [
        {"payment_id": payment["payment_id"], "amount": -payment["amount"]}
        for payment in reservation["payment_history"]
    ]
    reservation["payment_history"].extend(refunds)
    reservation["status"] = "cancelled"
    return reservation


def charge(world, reservation, payment_id, amount):
    """A change is paid for, or paid back, with one card."""
    methods = world.user(reservation["user_id"])["payment_methods"]
    if payment_id not in methods:
        raise Refused("payment method not found")
    method = methods[payment_id]
    if method["source"] == "certificate":
        raise Refused("certificate cannot be used to update reservation")
    if method["source"] == "gift_card":
        if method["amount"] < amount:
            raise Refused("gift card balance is not enough")
        method["amount"] -= amount
    if amount != 0:
        reservation["payment_history"].append({"payment_id": payment_id, "amount": amount})


def update_reservation_flights(world, reservation_id, cabin, flights, payment_id):
    reservation = world.reservation(reservation_id)
    people = len(reservation["passengers"])
    legs = []
    for wanted in flights:
        kept = [
            old
            for old in reservation["flights"]
            if (old["flight_number"], old["date"]) == (wanted["flight_number"], wanted["date"])
            and cabin == reservation["cabin"]
        ]
        if kept:
            legs.append(leg(wanted, kept[0], kept[0]["price"]))
            continue
        flight, price = world.seat_price(wanted["flight_number"], wanted["date"], cabin, people)
        legs.append(leg(wanted, flight, price))
    before = sum(old["price"] for old in reservation["flights"])
    amount = people * (sum(one["price"] for one in legs) - before)
    charge(world, reservation, payment_id, amount)
    # The recorded airline leaves the cabin of the reservation as it was.
    reservation["flights"] = legs
    return reservation


def update_reservation_baggages(
    world, reservation_id, total_baggages, nonfree_baggages, payment_id
):
    reservation = world.reservation(reservation_id)
    more = max(0, nonfree_baggages - reservation["nonfree_baggages"])
    charge(world, reservation, payment_id, 50 * more)
    reservation["total_baggages"] = total_baggages
    reservation["nonfree_baggages"] = nonfree_baggages
    return reservation


def update_reservation_passengers(world, reservation_id, passengers):
    reservation = world.reservation(reservation_id)
    if len(passengers) != len(reservation["passengers"]):
        raise Refused("number of passengers does not match")
    reservation["passengers"] = passengers
    return reservation


def send_certificate(world, user_id, amount):
    methods = world.user(user_id)["payment_methods"]
    for number in NEW_CERTIFICATES:
        name = f"certificate_{number}"
        if name not in methods:
            methods[name] = {"source": "certificate", "amount": amount, "id": name}
            return f"Certificate {name} added to user {user_id} with amount {amount}."
    raise Refused("too many certificates")


READS = (
    get_user_details, get_reservation_details, list_all_airports, search_direct_flight,
    search_onestop_flight, calculate, think, transfer_to_human_agents,
)  # fmt: skip
WRITES = (
    book_reservation, cancel_reservation, update_reservation_flights,
    update_reservation_baggages, update_reservation_passengers, send_certificate,
)  # fmt: skip
TOOLS = {tool.__name__: tool for tool in READS + WRITES}


def listed(tool):
    arguments = tool.__code__.co_varnames[1 : tool.__code__.co_argcount]
    return {
        "name": tool.__name__,
        "inputSchema": {
            "type": "object",
            "properties": {name: {} for name in arguments},
            "required": list(arguments),
        },
        "annotations": {"readOnlyHint": tool in READS},
    }


def call(world, name, arguments):
    try:
        result = TOOLS[name](world, **arguments)
        text = result if isinstance(result, str) else json.dumps(result)
        return {"content": [{"type": "text", "text": text}]}
    except Refused as refused:
        return {"content": [{"type": "text", "text": f"Error: {refused}"}], "isError": True}


def answer(world, message):
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "airline", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [listed(tool) for tool in TOOLS.values()]}
    if method == "tools/call":
        return call(world, params["name"], params["arguments"])
    return {}


def main():
    world = World(sys.argv[1])
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": answer(world, message)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
