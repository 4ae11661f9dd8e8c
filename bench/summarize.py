#!/usr/bin/env python3
"""Measures remuda and its peers on a BART of bart-large-cnn's exact shape, in one run, and prints how they compare.

    bench/summarize.py [--only KIND,...] [--rounds N] [--documents N,...] [--json FILE]

The model has random weights (406 million) and is made once. A round of an engine has it read documents of random
tokens and write exactly --output-tokens of each, which gives
  - encode: tokens of documents a second, keys and values for cross-attention included;
  - decode step: a step of all beams of all documents, which are decoded together, without encoding;
  - documents a second, all in all.
"load" is from files that are in the page cache, in the engine's own format where it has one, until the model can be
used, without the start of the process and its imports; "memory" is the most that the process had resident. Each engine
runs in a process of its own, one at a time, over several rounds of alternating order, so that what the machine does
meanwhile hits all of them. A ratio is the median of the ratios of each round.

The first run installs the peers (scripts/peers_env.sh), makes the model and converts it for CTranslate2 (4 GB of disk).
Without peers, "--only remuda" needs nothing but Python's standard library, and npm for GPT-2's vocabulary. --short
measures a tiny model instead, to see that all of it works.
"""
import argparse
import contextlib
import pathlib
import tempfile

import bart_model
import common
import contenders

BENCH = pathlib.Path(__file__).resolve().parent
KINDS = ("remuda-fp32", "remuda-bf16", "remuda-int8", "transformers-fp32", "transformers-bf16", "ctranslate2-fp32",
         "ctranslate2-int8")
MB = 1e6
SHORT = {"rounds": 2, "seconds": 0.1, "documents": [1, 3], "input_tokens": 400, "output_tokens": 8}
# Kinds, documents and how many times better; of figures of which more is better.
TARGETS = (
    ("steps_per_s", 1, "remuda-int8", "ctranslate2-int8", 4.0),
    ("steps_per_s", 1, "remuda-bf16", "transformers-bf16", 4.0),
    ("steps_per_s", 1, "remuda-fp32", "ctranslate2-fp32", 1.25),
    ("steps_per_s", 8, "remuda-int8", "ctranslate2-int8", 2.2),
    ("encode_tokens_per_s", 1, "remuda-int8", "ctranslate2-int8", 2.0),
    ("encode_tokens_per_s", 1, "remuda-bf16", "transformers-bf16", 1.2),
    ("encode_tokens_per_s", 1, "remuda-fp32", "ctranslate2-fp32", 1.2),
)
TARGET_LOAD_S = 0.3
TARGET_SECOND_INSTANCE_MS = 10
TARGET_INT8_MB = 520
NAMES = {"steps_per_s": "decode steps/s", "encode_tokens_per_s": "encoded tokens/s"}


def make_model(arguments):
    shape = bart_model.TINY if arguments.short else bart_model.LARGE
    return common.made_once(arguments.cache, shape.name, [BENCH / "bart_model.py"],
                            lambda made: bart_model.make(made, shape))


def export(arguments, model):
    """The model in CTranslate2's format. Its directory's name stands for the weights."""
    exporter = BENCH / "peers/export_bart.py"
    sources = [BENCH / "requirements.txt", exporter, model / "config.json", BENCH / "bart_model.py"]
    return common.made_once(arguments.cache, f"{model.name}-ctranslate2", sources,
                            lambda made: common.run([arguments.python, exporter, model, made]))


def make_engine(kind, arguments, model, exported, documents, work):
    engine, _, precision = kind.rpartition("-")
    if engine == "remuda":
        return contenders.RemudaSummaries(precision, arguments, model, documents)
    return contenders.PeerSummaries(engine, precision, arguments, model, exported, documents, work / f"{kind}.log")


def measure(arguments, model, exported, documents, work):
    """Of each kind: its rounds and their medians."""
    with contextlib.ExitStack() as stack:
        engines = {}
        for kind in arguments.only:
            common.progress(f"{documents} documents: starting {kind}")
            engines[kind] = make_engine(kind, arguments, model, exported, documents, work)
            stack.callback(engines[kind].close)
            engines[kind].start()
        results = {kind: {"rounds": []} for kind in engines}
        for number in range(arguments.rounds):
            order = arguments.only if number % 2 == 0 else arguments.only[::-1]
            for kind in order:
                common.progress(f"{documents} documents: round {number + 1} of {arguments.rounds}: {kind}")
                figures = engines[kind].round()
                results[kind]["rounds"].append({**figures, "steps_per_s": 1e3 / figures["step_ms"]})
    for result in results.values():
        result["median"] = common.medians(result["rounds"])
    return results


def print_figures(results):
    print("| engine | documents | encode, tokens/s | decode step | documents/s | load | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for documents, kinds in results.items():
        for kind, result in kinds.items():
            median = result["median"]
            print(f"| {kind} | {documents} | {median['encode_tokens_per_s']:,.0f} | {median['step_ms']:.2f} ms "
                  f"| {median['documents_per_s']:.3f} | {median['load_s']:.3f} s "
                  f"| {median['peak_rss_bytes'] / MB:,.0f} MB |")


def times_better(results, figure, ours, peer):
    """How many times; None where one was not measured."""
    ratio = common.ratio(results, figure, ours, [peer])
    if ratio is None:
        return None
    return 1 / ratio if figure in ("load_s", "peak_rss_bytes") else ratio


def print_ratios(results):
    """Of remuda by each peer of the same precision, as how many times better."""
    figures = ("encode_tokens_per_s", "steps_per_s", "documents_per_s", "load_s", "peak_rss_bytes")
    print("| times better | documents | encode | decode step | documents/s | load | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for documents, kinds in results.items():
        for ours in (kind for kind in kinds if kind.startswith("remuda-")):
            precision = ours.rpartition("-")[2]
            for peer in (peer for peer in common.peers_among(kinds) if peer.endswith(f"-{precision}")):
                row = " | ".join(f"{times_better(kinds, figure, ours, peer):.2f}" for figure in figures)
                print(f"| {ours} by {peer} | {documents} | {row} |")


def target_checks(results):
    """The targets that what was measured can answer."""
    checks = []
    for figure, documents, ours, peer, target in TARGETS:
        ratio = times_better(results.get(documents, {}), figure, ours, peer)
        if ratio is not None:
            plural = "document" if documents == 1 else "documents"
            checks.append(common.Check(f"{NAMES[figure]}, {documents} {plural}, {ours} by {peer}", ratio, target,
                                       at_most=False))
    alone = results.get(1, {})
    checks += [common.Check(f"load, {kind}, s", result["median"]["load_s"], TARGET_LOAD_S, at_most=True, digits=3)
               for kind, result in alone.items() if kind.startswith("remuda-")]
    checks += [common.Check(f"another instance, {kind}, ms", result["median"]["second_instance_ms"],
                            TARGET_SECOND_INSTANCE_MS, at_most=True, digits=3)
               for kind, result in alone.items() if kind.startswith("remuda-")]
    if "remuda-int8" in alone:
        checks.append(common.Check("memory, 1 document, remuda-int8, MB",
                                   alone["remuda-int8"]["median"]["peak_rss_bytes"] / MB, TARGET_INT8_MB, at_most=True,
                                   digits=0))
    return checks


def number_list(text):
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("expected numbers from 1 on")
    return numbers


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_program_flags(parser, with_model=False)
    parser.add_argument("--only", type=common.kind_list(KINDS), default=list(KINDS), metavar="KIND,...",
                        help=f"some of {', '.join(KINDS)}; \"remuda\" stands for all of remuda's")
    parser.add_argument("--short", action="store_true", help="a tiny model and few steps; flags below still count")
    parser.add_argument("--rounds", type=int, help="(3)")
    parser.add_argument("--seconds", type=float, help="for encoding and for decoding in a round of remuda (1)")
    parser.add_argument("--documents", type=number_list, metavar="N,...", help="decoded together (1,8)")
    parser.add_argument("--input-tokens", type=int, help="of a document (512)")
    parser.add_argument("--output-tokens", type=int, help="of a summary, at least 2 (40)")
    parser.add_argument("--num-beams", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (%(default)s)")
    common.add_peer_flags(parser)
    arguments = parser.parse_args()
    full = {"rounds": 3, "seconds": 1.0, "documents": [1, 8], "input_tokens": 512, "output_tokens": 40}
    for name, value in (SHORT if arguments.short else full).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name, least in {"rounds": 1, "input_tokens": 3, "output_tokens": 2, "num_beams": 1, "threads": 1}.items():
        if getattr(arguments, name) < least:
            parser.error(f"--{name.replace('_', '-')}: expected at least {least}")
    return arguments


def main():
    arguments = parse_arguments()
    common.check_program(arguments)
    peers = common.peers_among(arguments.only)
    if peers:
        common.peers_python(arguments, ("torch", "transformers", "ctranslate2"))
    model = make_model(arguments)
    exported = export(arguments, model) if peers else None
    with tempfile.TemporaryDirectory() as work:
        results = {documents: measure(arguments, model, exported, documents, pathlib.Path(work))
                   for documents in arguments.documents}
    print(f"{arguments.input_tokens} tokens in, {arguments.output_tokens} out, {arguments.num_beams} beams; "
          f"{arguments.rounds} rounds, {arguments.threads} threads, {common.processor()}\n")
    print_figures(results)
    print()
    if peers and len(peers) < len(arguments.only):
        print_ratios(results)
        print()
    checks = [] if arguments.short else target_checks(results)
    common.report(checks)
    common.write_json(arguments.json, {"processor": common.processor(), "threads": arguments.threads,
                                       "input_tokens": arguments.input_tokens, "num_beams": arguments.num_beams,
                                       "output_tokens": arguments.output_tokens, "model": model.name,
                                       "documents": results, "checks": [check.as_json() for check in checks]})


if __name__ == "__main__":
    main()
