"""Rows of what was measured and what it should be, as the programs for GPUs print and write them."""


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
