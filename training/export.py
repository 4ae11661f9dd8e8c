"""Writes a checkpoint as a Hugging Face directory: weights in bfloat16, tokenizer, generation defaults, model card.

    python3 training/export.py --to DIR [--work DIR] [--model CHECKPOINT]

The model card shows the figures and outputs of the last training/evaluate.py run (WORK/outputs.jsonl), the five with
the best and the five with the worst ROUGE-L of every hundredth of them. The directory must not exist yet.
"""
import argparse
import json
import pathlib

import torch
from transformers import GenerationConfig

import data
import evaluate
from model import BOS, EOS, PAD, POSITION_OFFSET

MAX_BYTES = 60_000_000
POSITIONS = 256  # As many tokens as all-MiniLM-L6-v2 was made for; BERT's other 256 positions were hardly trained.

CARD = """---
language: en
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
pipeline_tag: summarization
---
# A small BART for one-line synopses

BART of 6 encoder and 3 decoder layers, hidden size 384. Encoder and embeddings are those of all-MiniLM-L6-v2, frozen;
the decoder was trained for {step} steps on descriptions and synopses of Debian packages (training/README.md).
It is a small model for trying things out: it knows package descriptions and nothing else, and it makes things up.

Mean F1 on {count} held-out packages, beam search with 4 beams:

| | ROUGE-1 | ROUGE-2 | ROUGE-L |
| --- | ---: | ---: | ---: |
| first sentence, cut to {words} words | {base} |
| this model | {ours} |

Ten outputs, the first five among the best of a sample and the last five among the worst:

| package | Debian's synopsis | the model's |
| --- | --- | --- |
{rows}
"""


def card(outputs, pairs, step):
    """The text of README.md."""
    sources = {pair.package: pair.source for pair in pairs}
    wanted = [o["wanted"] for o in outputs]

    def figures(texts):
        return " | ".join(f"{value:.1f}" for value in evaluate.rouge(wanted, texts).values())
    sample = outputs[::max(1, len(outputs) // 100)]
    ranked = sorted(sample, key=lambda o: -evaluate.rouge([o["wanted"]], [o["given"]])["rougeL"])
    rows = [" | ".join(o[name].replace("|", "\\|") for name in ("package", "wanted", "given")) for o in ranked[:5] + ranked[-5:]]
    return CARD.format(step=step, count=len(outputs), words=evaluate.BASELINE_WORDS, rows="\n".join(f"| {r} |" for r in rows),
                       base=figures([evaluate.first_sentence(sources[o["package"]]) for o in outputs]),
                       ours=figures([o["given"] for o in outputs]))


@torch.no_grad()
def shorten(model, positions):
    """Keeps the first `positions` positions of encoder and decoder."""
    for part in (model.model.encoder, model.model.decoder):
        table = part.embed_positions
        table.weight = torch.nn.Parameter(table.weight[:positions + POSITION_OFFSET].clone())
        table.num_embeddings = positions + POSITION_OFFSET
    model.config.max_position_embeddings = positions


def compact(file):
    """Rewrites a JSON file without white space."""
    file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=False, separators=(",", ":")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/training"))
    parser.add_argument("--encoder", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--model", type=pathlib.Path, help="default: WORK/latest.pt")
    parser.add_argument("--to", type=pathlib.Path, required=True)
    parser.add_argument("--max-source", type=int, default=96)
    args = parser.parse_args()
    path = args.model or args.work / "latest.pt"
    outputs_file = args.work / "outputs.jsonl"
    if not outputs_file.exists():
        raise SystemExit(f"{outputs_file} is missing: run training/evaluate.py --work {args.work} --model {path}")
    outputs = [json.loads(line) for line in outputs_file.read_text().splitlines()]
    args.to.mkdir(parents=True)
    model = evaluate.load(path).to(torch.bfloat16)
    shorten(model, POSITIONS)
    model.generation_config = GenerationConfig(**evaluate.BEAMS, decoder_start_token_id=BOS, bos_token_id=BOS,
                                               eos_token_id=EOS, pad_token_id=PAD)
    model.save_pretrained(args.to)
    evaluate.tokenizer_from(args.encoder / "tokenizer.json", args.max_source).save_pretrained(args.to)
    compact(args.to / "tokenizer.json")
    step = torch.load(path, weights_only=True)["step"]
    (args.to / "README.md").write_text(card(outputs, data.read(args.work)["heldout"], step))
    size = sum(file.stat().st_size for file in args.to.iterdir())
    print(f"{args.to}: {size / 1e6:.1f} MB")
    if size > MAX_BYTES:
        raise SystemExit(f"{args.to} is larger than {MAX_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
