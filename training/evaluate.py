"""ROUGE-1/2/L of a checkpoint, or an exported directory, on the held-out packages, beside the first sentence's.

    python3 training/evaluate.py [--work DIR] [--model CHECKPOINT_OR_DIR] [--count N]
    python3 training/evaluate.py --model DIR --binary build/release/remuda [--precision fp32|bf16|int8]

Summaries are found by beam search (BEAMS below), scored with rouge-score's stemmer, and written beside the wanted ones
to DIR/outputs.jsonl. The baseline is the first sentence of the description cut to 15 words. With --binary, `remuda
summarize` finds the summaries of an exported directory at a precision, with the same BEAMS.
"""
import argparse
import json
import pathlib
import re
import subprocess

import torch
from rouge_score.rouge_scorer import RougeScorer
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

import data
from model import BOS, EOS, PAD

BASELINE_WORDS = 15
BEAMS = {"num_beams": 4, "min_length": 4, "max_length": 32, "length_penalty": 1.0, "no_repeat_ngram_size": 3,
         "early_stopping": True}
ROUGES = ("rouge1", "rouge2", "rougeL")


def first_sentence(text, words=BASELINE_WORDS):
    return " ".join(re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0].split()[:words])


def rouge(wanted, given):
    """Mean F1 in percent, by kind of ROUGE."""
    scorer = RougeScorer(ROUGES, use_stemmer=True)
    scores = [scorer.score(want, give) for want, give in zip(wanted, given, strict=True)]
    return {name: 100 * sum(score[name].fmeasure for score in scores) / len(scores) for name in ROUGES}


def load(path):
    """A model from a checkpoint of train.py or a Hugging Face directory, in fp32."""
    if path.is_dir():
        return BartForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
    state = torch.load(path, weights_only=True)
    model = BartForConditionalGeneration(BartConfig.from_dict(state["config"]))
    model.load_state_dict(state["model"])
    model.tie_weights()
    return model.eval()


def tokenizer_from(file, max_source):
    return PreTrainedTokenizerFast(tokenizer_file=str(file), model_max_length=max_source, pad_token="[PAD]", bos_token="[CLS]",
                                   eos_token="[SEP]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                   mask_token="[MASK]", clean_up_tokenization_spaces=True)


@torch.no_grad()
def summarize(model, tokenizer, texts, max_source, batch=50):
    """The summaries in the order of the texts. Texts of about one length are decoded together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    result = [""] * len(texts)
    for first in range(0, len(order), batch):
        rows = order[first:first + batch]
        given = tokenizer([texts[i] for i in rows], truncation=True, max_length=max_source, padding=True, return_tensors="pt")
        ids, mask = given["input_ids"], given["attention_mask"]
        with torch.autocast("cpu", torch.bfloat16):
            encoded = BaseModelOutput(model.model.encoder(ids, attention_mask=mask).last_hidden_state.float())
            out = model.generate(encoder_outputs=encoded, attention_mask=mask, **BEAMS, decoder_start_token_id=BOS,
                                 eos_token_id=EOS, pad_token_id=PAD)
        for i, text in zip(rows, tokenizer.batch_decode(out, skip_special_tokens=True)):
            result[i] = text
    return result


def beam_flags():
    for name, value in BEAMS.items():
        yield f"--{name.replace('_', '-')}={str(value).lower()}"


def summarize_natively(binary, directory, precision, texts, max_source):
    """The summaries of `remuda summarize` in the order of the texts."""
    command = [binary, "summarize", "-m", directory, "--precision", precision, "--jsonl", "--max-input-tokens",
               str(max_source), *beam_flags()]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    result = [json.loads(line)["summary"] for line in done.stdout.splitlines()]
    if len(result) != len(texts):
        raise SystemExit(f"{binary}: expected {len(texts)} summaries, found {len(result)}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/training"))
    parser.add_argument("--encoder", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--model", type=pathlib.Path, help="default: WORK/latest.pt")
    parser.add_argument("--count", type=int, default=data.HELDOUT)
    parser.add_argument("--max-source", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", type=pathlib.Path, help="remuda: it summarises, not transformers; --model is a directory")
    parser.add_argument("--precision", default="fp32", help="of remuda (%(default)s)")
    args = parser.parse_args()
    if args.binary and not (args.model and args.model.is_dir()):
        parser.error("--binary: expected --model to be an exported directory")
    torch.set_num_threads(args.threads)
    pairs = data.read(args.work)["heldout"][:args.count]
    sources = [pair.source for pair in pairs]
    if args.binary:
        given = summarize_natively(args.binary, args.model, args.precision, sources, args.max_source)
    else:
        tokenizer = tokenizer_from(args.encoder / "tokenizer.json", args.max_source)
        given = summarize(load(args.model or args.work / "latest.pt"), tokenizer, sources, args.max_source)
    wanted = [pair.target for pair in pairs]
    with open(args.work / "outputs.jsonl", "w") as file:
        for pair, text in zip(pairs, given):
            file.write(json.dumps({"package": pair.package, "wanted": pair.target, "given": text}, ensure_ascii=False) + "\n")
    for name, texts in (("first sentence", [first_sentence(source) for source in sources]), ("model", given)):
        print(f"{name:15}" + "  ".join(f"{kind} {value:.2f}" for kind, value in rouge(wanted, texts).items())
              + f"  ({len(pairs)} packages)")


if __name__ == "__main__":
    main()
