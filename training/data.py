"""Pairs of a package's long description and its one-line synopsis, from the Translation-en lists of apt.

    python3 training/data.py [--work DIR]

writes DIR/pairs.jsonl: one object a line with package, split ("train", "dev" or "heldout"), source and target. The same
lists give the same file. No description and no synopsis of a dev or held-out package occurs among the training pairs.
"""
import argparse
import dataclasses
import glob
import hashlib
import json
import pathlib
import re
import subprocess

HELDOUT, DEV = 1000, 500
MIN_SOURCE_WORDS, MIN_TARGET_WORDS, MAX_TARGET_WORDS = 8, 2, 20
# Synopses that say what kind of package it is and nothing of what it does: no description leads to them.
EMPTY_SYNOPSIS = re.compile(r"\b(transitional|dummy|metapackage|meta-package|meta package)\b", re.I)


@dataclasses.dataclass(frozen=True)
class Pair:
    package: str
    source: str
    target: str
    split: str = ""


def apt_lists():
    """The text of every Translation-en list on this machine, compressed or not."""
    for name in sorted(glob.glob("/var/lib/apt/lists/*Translation-en*")):
        if pathlib.Path(name).suffix in (".lz4", ".xz", ".gz", ".bz2", ".zst"):
            done = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", name], capture_output=True, check=True)
            yield done.stdout.decode(errors="replace")
        else:
            yield pathlib.Path(name).read_text(errors="replace")


def stanzas(text):
    """Yields (package, synopsis, lines of the long description) of each stanza of a list."""
    for match in re.finditer(r"^Package: (\S+)\n(?:[^\n ].*\n)*?Description-en: (.*)\n((?: .*\n?)*)", text, re.M):
        yield match[1], match[2], match[3].split("\n")


def clean(lines):
    """A description as running text: Debian's markers of empty lines and of list items go, white space is joined."""
    words = []
    for line in lines:
        line = line.strip()
        if line != ".":
            words += re.sub(r"^[*+o-]\s+", "", line).split()
    return " ".join(words)


def key(text):
    """Equal for texts that differ only in case, punctuation or spacing."""
    return " ".join(re.findall(r"\w+", text.lower()))


def rank(package):
    """A place in an order that depends on the name alone, so that new packages do not move the others."""
    return hashlib.sha256(package.encode()).hexdigest()


def usable(pair):
    target_words = len(pair.target.split())
    return (len(pair.source.split()) >= MIN_SOURCE_WORDS and MIN_TARGET_WORDS <= target_words <= MAX_TARGET_WORDS
            and not EMPTY_SYNOPSIS.search(pair.target) and key(pair.source) and key(pair.target))


def split(pairs, heldout=HELDOUT, dev=DEV):
    """Drops repeated pairs, sets apart `heldout` and `dev` packages with texts of their own, gives the rest to training.

    Packages are taken in the order of their rank; one that shares its description or its synopsis with a pair set apart
    earlier is dropped altogether, so that no text stands on two sides.
    """
    seen_pairs, sources, targets, result = set(), set(), set(), []
    counts = {"heldout": 0, "dev": 0}
    for pair in sorted(pairs, key=lambda p: (rank(p.package), p.source, p.target)):
        source, target = key(pair.source), key(pair.target)
        if (source, target) in seen_pairs or source in sources or target in targets:
            continue
        seen_pairs.add((source, target))
        side = "heldout" if counts["heldout"] < heldout else "dev" if counts["dev"] < dev else "train"
        if side != "train":
            counts[side] += 1
            sources.add(source)
            targets.add(target)
        result.append(dataclasses.replace(pair, split=side))
    return result


def collect(texts):
    """All usable pairs of the lists, split."""
    pairs = [Pair(name, clean(lines), " ".join(synopsis.split())) for text in texts for name, synopsis, lines in stanzas(text)]
    return split([pair for pair in pairs if usable(pair)])


def read(work):
    """The pairs by split, as written by `main`; says what to run when they are not there."""
    path = pathlib.Path(work) / "pairs.jsonl"
    if not path.exists():
        raise SystemExit(f"{path} is missing: run training/data.py --work {work}")
    result = {"train": [], "dev": [], "heldout": []}
    for line in path.read_text().splitlines():
        pair = Pair(**json.loads(line))
        result[pair.split].append(pair)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/training"))
    work = parser.parse_args().work
    pairs = collect(apt_lists())
    if len(pairs) <= HELDOUT + DEV:
        raise SystemExit(f"only {len(pairs)} pairs in /var/lib/apt/lists: run apt-get -o Acquire::Languages=en update")
    work.mkdir(parents=True, exist_ok=True)
    part = work / "pairs.jsonl.part"
    part.write_text("".join(json.dumps(dataclasses.asdict(pair), ensure_ascii=False) + "\n" for pair in pairs))
    part.rename(work / "pairs.jsonl")
    counts = {side: sum(pair.split == side for pair in pairs) for side in ("train", "dev", "heldout")}
    print(" ".join(f"{side} {count}" for side, count in counts.items()))


if __name__ == "__main__":
    main()
