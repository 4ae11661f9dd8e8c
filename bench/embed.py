#!/usr/bin/env python3
"""Measures remuda and its peers on the same real texts, in one run, and prints how they compare.

    bench/embed.py [--only KIND,...] [--rounds N] [--texts N] [--json FILE]

Each engine runs in a process of its own, one at a time, over several rounds of alternating order, so that what the
machine does meanwhile hits all of them. A round of an engine measures
  - long texts (descriptions of Debian's packages, cut at 256 tokens), from strings to vectors, in bulk;
  - short texts (their one-line synopses), in bulk;
  - the same short texts one at a time, from string to vector.
The peers sort texts by length, and each uses the batch size at which it is quickest here; in bulk, those that can
compute a batch on each thread, which is quicker, and one text on all of them. "start" is the time from starting the
process to its first vector, "memory" the most that the process had resident, "cosine" the smallest to
sentence-transformers fp32 over all texts. A ratio is the median of the ratios of each round.

The first run installs the peers (scripts/peers_env.sh) and exports the model for them. Without peers,
"--only remuda" needs nothing but Python's standard library.
"""
import argparse
import contextlib
import json
import math
import operator
import pathlib
import tempfile

import common
import contenders
import npy
import texts

BENCH = pathlib.Path(__file__).resolve().parent
REFERENCE = "sentence-transformers-fp32"
KINDS = ("remuda-fp32", "remuda-bf16", "remuda-int8", REFERENCE, "sentence-transformers-bf16", "onnxruntime-fp32",
         "onnxruntime-int8", "openvino-fp32", "openvino-bf16", "ctranslate2-fp32", "ctranslate2-int8")


def export(arguments):
    """The directory with the model in the peers' formats, made where it is not there."""
    sources = [BENCH / "requirements.txt", BENCH / "peers/export.py", arguments.model / "config.json",
               arguments.model / "model.safetensors"]
    return common.made_once(
        arguments.cache, arguments.model.name, sources,
        lambda made: common.run([arguments.python, BENCH / "peers/export.py", arguments.model, made]))


def write_texts(count, work):
    longs, shorts = texts.long_and_short(count)
    common.write_lines(work / "long.txt", longs)
    common.write_lines(work / "short.txt", shorts)
    common.write_lines(work / "one.txt", shorts[:1])
    (work / "texts.json").write_text(json.dumps({"long": longs, "short": shorts}))


def make_engine(kind, arguments, work, exported):
    engine, _, precision = kind.rpartition("-")
    if engine == "remuda":
        return contenders.Remuda(precision, arguments, work)
    return contenders.Peer(engine, precision, arguments, work, exported)


def measure(arguments, work, exported):
    """Of each kind: what its start, its tuning and its rounds gave, and the file of its vectors."""
    with contextlib.ExitStack() as stack:
        engines, results = {}, {}
        for kind in arguments.only:
            common.progress(f"starting {kind}")
            engines[kind] = make_engine(kind, arguments, work, exported)
            stack.callback(engines[kind].close)
            engines[kind].start()  # So that the files are in the page cache for the one that counts.
            engines[kind].close()
            results[kind] = {"start_s": engines[kind].start(), **engines[kind].tune(), "rounds": []}
        for number in range(arguments.rounds):
            order = arguments.only if number % 2 == 0 else arguments.only[::-1]
            for kind in order:
                common.progress(f"round {number + 1} of {arguments.rounds}: {kind}")
                results[kind]["rounds"].append(engines[kind].round(arguments.seconds))
        for kind, engine in engines.items():
            engine.vectors(work / f"{kind}.npy")
    return results


def smallest_cosine(vectors, reference):
    def dot(a, b):
        return math.fsum(map(operator.mul, a, b))

    if len(vectors) != len(reference):
        raise ValueError(f"expected {len(reference)} vectors, found {len(vectors)}")
    return min(dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) for a, b in zip(vectors, reference))


def summarize(results, work, tokens_per_doc):
    """Adds medians and the cosine to what was measured."""
    reference = npy.rows(work / f"{REFERENCE}.npy") if REFERENCE in results else None
    for kind, result in results.items():
        for one in result["rounds"]:
            one["tokens_per_s"] = one["docs_per_s"] * tokens_per_doc
        result["median"] = common.medians(result["rounds"])
        result["peak_rss_bytes"] = max(one["peak_rss_bytes"] for one in result["rounds"])
        result["min_cosine"] = smallest_cosine(npy.rows(work / f"{kind}.npy"), reference) if reference else None


def print_table(results):
    print("| engine | long, texts/s | tokens/s | short, texts/s | one short, p50 | p99 | start | memory | cosine |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind, result in results.items():
        median = result["median"]
        cosine = "" if result["min_cosine"] is None else f"{result['min_cosine']:.5f}"
        print(f"| {kind} | {median['docs_per_s']:,.0f} | {median['tokens_per_s']:,.0f} | {median['short_per_s']:,.0f} "
              f"| {median['p50_ms']:.2f} ms | {median['p99_ms']:.2f} ms | {result['start_s']:.2f} s "
              f"| {result['peak_rss_bytes'] / 2**20:,.0f} MiB | {cosine} |")


def target_checks(results):
    """The targets that what was measured can answer."""
    fp32_peers = [kind for kind in KINDS if kind.endswith("-fp32") and not kind.startswith("remuda")]
    speeds = (("remuda-fp32", "openvino-fp32", 1.1), ("remuda-bf16", "openvino-bf16", 1.2),
              ("remuda-int8", "ctranslate2-int8", 2.0), ("remuda-int8", "onnxruntime-int8", 1.3))
    candidates = [common.Check(f"tokens/s on long texts, {ours} by {peer}",
                               common.ratio(results, "tokens_per_s", ours, [peer]), target, at_most=False)
                  for ours, peer, target in speeds]
    candidates += [
        common.Check("p50 of one short text, remuda-int8 by onnxruntime-int8",
                     common.ratio(results, "p50_ms", "remuda-int8", ["onnxruntime-int8"]), 0.6, at_most=True),
        common.Check("p50 of one short text, remuda-fp32 by the best fp32 peer",
                     common.ratio(results, "p50_ms", "remuda-fp32", fp32_peers, min), 0.6, at_most=True)]
    candidates += [common.Check(f"smallest cosine, {kind}", results[kind]["min_cosine"], target, at_most=False,
                                digits=5)
                   for kind, target in (("remuda-bf16", 0.9999), ("remuda-int8", 0.995)) if kind in results]
    return [check for check in candidates if check.measured is not None]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser)
    parser.add_argument("--only", type=common.kind_list(KINDS), default=list(KINDS), metavar="KIND,...",
                        help=f"some of {', '.join(KINDS)}; \"remuda\" stands for all of remuda's")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--texts", type=int, default=300, help="long ones, and as many short ones (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="for each kind of texts in a round; one pass over them at least (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (%(default)s)")
    common.add_peer_flags(parser)
    arguments = parser.parse_args()
    for name in ("rounds", "texts", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expected at least 1")
    return arguments


def main():
    arguments = parse_arguments()
    common.check_program(arguments)
    exported = None
    if common.peers_among(arguments.only):
        common.peers_python(arguments, ("sentence_transformers", "onnxruntime", "openvino", "ctranslate2", "onnx"))
        exported = export(arguments)
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        write_texts(arguments.texts, work)
        tokens = token_count(arguments, work)
        results = measure(arguments, work, exported)
        summarize(results, work, tokens / arguments.texts)
    print(f"{arguments.texts} long texts of {tokens / arguments.texts:.0f} tokens on average, as many short ones; "
          f"{arguments.rounds} rounds, {arguments.threads} threads, {common.processor()}\n")
    print_table(results)
    print()
    checks = target_checks(results)
    common.report(checks)
    common.write_json(arguments.json, {"processor": common.processor(), "texts": arguments.texts,
                                       "tokens_per_long_text": tokens / arguments.texts, "threads": arguments.threads,
                                       "engines": results, "checks": [check.as_json() for check in checks]})


def token_count(arguments, work):
    """Tokens of the long texts, as all engines use them."""
    command = [arguments.binary, "tokenize", "-m", arguments.model, "--max-length", contenders.MAX_TOKENS,
               work / "long.txt"]
    return sum(len(json.loads(line)["ids"]) for line in common.run(command).stdout.splitlines())


if __name__ == "__main__":
    main()
