#!/usr/bin/env python3
"""Fails when a file includes a header of a module that tools/layers.txt does not name for it."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
allowed = {}
for line in (root / "tools/layers.txt").read_text().splitlines():
    module, _, below = line.partition(":")
    unknown = set(below.split()) - allowed.keys()
    if unknown:
        sys.exit(f"tools/layers.txt: {module} names {sorted(unknown)}, which are not above it")
    allowed[module] = {module, *below.split()}

# A public header belongs to the module that has its .cc file; remuda.h, which includes them all, to none.
owner = {f"remuda/{path.stem}.h": path.parent.name for path in root.glob("src/*/*.cc")}
sources = [path for ending in ("cc", "cu", "cuh", "h") for path in root.glob(f"src/*/**/*.{ending}")]
files = [*sources, *root.glob("include/remuda/*.h")]
errors = []
for path in files:
    relative = path.relative_to(root)
    public = relative.parts[0] == "include"
    module = owner.get(f"remuda/{path.name}") if public else relative.parts[1]
    if module is None and path.name != "remuda.h":
        errors.append(f"{relative}: no module has {path.stem}.cc")
    for number, text in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#include ["<]([\w./]+)[">]', text)
        target = match and (owner.get(match[1]) or match[1].split("/")[0])
        if target in allowed and module is not None and target not in allowed[module]:
            errors.append(f"{relative}:{number}: {module} may not include {match[1]} ({target})")
print("\n".join(errors) or f"layers: {len(files)} files keep to tools/layers.txt")
sys.exit(bool(errors))
