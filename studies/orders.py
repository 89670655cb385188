"""Ten and a hundred million orders to customers, beside the summary of PyMC-Marketing.

Question
    How long does it take, and how much memory?

Pass rules, stated before the run
    1. 10,000,000 orders of 1,000,000 customers from Parquet: at most 8 seconds and 2 GB.
    2. At least 4 times as fast as ``rfm_summary`` of PyMC-Marketing 1.3.0, reading the file included on both sides.
    3. With purchase times and periods at most twice the seconds of 1.
    4. ``--long``: 100,000,000 orders of 10,000,000 customers within 8 GB; its time is told.

Orders have a number of a customer, a moment within two years, drawn uniformly, and an amount. Each measurement is a
process of its own, in turns, three rounds of which the medians are compared, by the machinery and with the environment
of ``studies.speed``: first ``python -m studies.speed --prepare``, then, on a quiet machine, ``python -m
studies.orders``. Rows are written to studies/orders_results.csv, of ``--quick`` (100,000 orders) into out/speed.

What was found
    See docs/speed.md, "Size".
"""

import argparse
import csv
from pathlib import Path

from studies.speed import (
    COLUMNS,
    OURS,
    THEIRS,
    Claim,
    Group,
    Measurement,
    Runner,
    Side,
    as_row,
    judge,
    table,
)

ROOT = Path(__file__).parents[1]
ORDERS, MOST_ORDERS, FEW_ORDERS = 10_000_000, 100_000_000, 100_000
# Orders a customer.
EACH = 10
MANY_GB = 8_000


def measurements(count: int, inputs: Path, long: bool) -> list[Group]:
    """Return what is measured, in turns; the largest file by itself."""

    def of(orders: int, key: str, package: str, method: str, **more: object) -> Measurement:
        terms = {"orders": str(inputs / f"orders_{orders}.parquet")} | more
        data = f"{orders:,} orders"
        return Measurement(key, package, method, data, 0, 1, "summarise", terms)

    turns = (
        of(count, "plain", OURS, "summarize"),
        of(count, "peer", THEIRS, "rfm_summary"),
        of(count, "more", OURS, "with times and periods", also=["purchase_times", "periods"]),
    )
    found = [Group("orders", 3, turns)]
    if long:
        found.append(Group("orders", 1, (of(MOST_ORDERS, "most", OURS, "summarize"),)))
    return found


def claims(count: int, long: bool) -> list[Claim]:
    """Return the rules."""
    ours, whole = Side("plain", "seconds", "reading included"), Side("plain", "peak_mb", "the whole process")
    what = f"{count:,} orders, Parquet"
    peer = Side("peer", "seconds", "pandas.read_parquet and rfm_summary")
    more = Side("more", "seconds", "with purchase times and periods")
    found = [
        Claim(what, "seconds", ours, None, ("<=", 8)),
        Claim(what, "peak memory", whole, None, ("<=", 2_000)),
        Claim(what, "rfm_summary's seconds over ours", ours, peer, (">=", 4)),
        Claim(what, "with times and periods: seconds over those without", ours, more, ("<=", 2)),
    ]
    if long:
        most = Side("most", "peak_mb", "the whole process")
        found.append(Claim(f"{MOST_ORDERS:,} orders", "peak memory", most, None, ("<=", MANY_GB)))
    return found


def main() -> None:
    """State the rules, measure, judge; exit with 1 where a whole run does not pass them all."""
    parser = argparse.ArgumentParser(description="Orders to customers: time and memory.")
    parser.add_argument("--quick", action="store_true", help="few orders, to see that it runs")
    parser.add_argument("--long", action="store_true", help="a hundred million orders too")
    options = parser.parse_args()
    count = FEW_ORDERS if options.quick else ORDERS
    folder = ROOT / "out" / "speed"
    runner = Runner(folder)
    runner.environments()
    for orders in [count, *([MOST_ORDERS] if options.long else [])]:
        path = runner.inputs / f"orders_{orders}.parquet"
        if not path.exists():
            terms = {"path": str(path), "orders": orders, "customers": orders // EACH}
            told = runner.script(OURS, "write_orders", terms, 900, 12_000)
            print(f"{path.name}: {told.get('failed') or 'written'}", flush=True)
    stated = claims(count, options.long)
    rules = [judge(claim, {}) for claim in stated]
    print("Rules, stated before the run:\n" + table(rules, ("claim", "kind", "rule")), flush=True)
    groups = measurements(count, runner.inputs, options.long)
    records = runner.measure(groups)
    members = [each for group in groups for each in group.members]
    known = {f"{orders:,} orders.npz": orders // EACH for orders in (count, MOST_ORDERS)}
    rows = [as_row("orders", each, records.get(each.key, []), known) for each in members]
    judged = [judge(claim, records) for claim in stated]
    if options.quick:
        judged = [claim | {"verdict": "too small to judge"} for claim in judged]
    print("\n" + table(rows, COLUMNS) + "\n")
    print(table(judged, ("claim", "kind", "number", "unit", "rule", "verdict")))
    results = (folder if options.quick else ROOT / "studies") / "orders_results.csv"
    with results.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
    if not options.quick and any(claim["verdict"] != "PASS" for claim in judged):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
