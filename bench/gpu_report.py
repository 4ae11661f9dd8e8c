"""What the measurements on a GPU share: options, rows of a report, and times."""
import argparse
import json
import pathlib
import time

import numpy as np

NO_GPU = 77


def parser(doc):
    """With the options that all have."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=pathlib.Path, metavar="FILE")
    made.add_argument("--small", action="store_true", help="tiny models: a trial of this program, not of a GPU")
    return made


class Report:
    def __init__(self):
        self.rows = []

    def add(self, what, value, limit, holds):
        """holds: True, False, or None where it could not be tried."""
        self.rows.append({"what": what, "value": value, "limit": limit, "holds": holds})
        verdict = {True: "ok", False: "MISSED", None: "NOT TRIED"}[holds]
        print(f"{what:58} {value!s:>14} {limit:>14}  {verdict}", flush=True)

    def end(self, file, **figures):
        """Writes all to the file, if one was named; the exit status."""
        if file:
            file.write_text(json.dumps({"checks": self.rows, **figures}, indent=1) + "\n")
        return 0 if all(row["holds"] for row in self.rows) else 1


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
