"""What the measurements on a GPU share: rows of a report, and times."""
import time

import numpy as np

NO_GPU = 77


class Report:
    def __init__(self):
        self.rows = []

    def add(self, what, value, limit, holds):
        """holds: True, False, or None where it could not be tried."""
        self.rows.append({"what": what, "value": value, "limit": limit, "holds": holds})
        verdict = {True: "ok", False: "MISSED", None: "NOT TRIED"}[holds]
        print(f"{what:58} {value!s:>14} {limit:>14}  {verdict}", flush=True)

    def good(self):
        return all(row["holds"] for row in self.rows)


def timed(run, seconds):
    """The median time of a run, after one that is not counted."""
    run()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))
