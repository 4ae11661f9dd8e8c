"""Random-weight BARTs of odd shapes with real tokenizers, saved as Hugging Face directories.

Weights are drawn larger than for training, so that outputs vary, and the end token gets a bias with which summaries end
at all lengths.
"""
import dataclasses
import json
import pathlib
import shutil

import torch
from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERGES_KEPT = 3000  # Of GPT-2's.
END_SHARE = 0.06  # Of the steps of a greedy search in which the end token is to be the best.
MAX_LENGTH = 20
EMBEDDING_LENGTH = 4.0


@dataclasses.dataclass
class RandomBart:
    tokenizer: str  # See _write_tokenizer.
    config: dict
    ids: dict  # Special tokens.
    seed: int
    dtype: torch.dtype
    positions: float  # Spread of the positions' embeddings,
    inner: float  # of the feed-forward matrices' outputs by their inputs,
    output: float  # and of attention's last matrices'.


BART_IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
MODELS = {
    # Byte-level BPE from vocab.json and merges.txt; heads of 9 and of 12; the encoder deeper than the decoder.
    "byte-pairs": RandomBart("gpt2", dict(
        d_model=36, encoder_layers=3, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=3,
        encoder_ffn_dim=50, decoder_ffn_dim=31, max_position_embeddings=90, activation_function="gelu"),
        BART_IDS, seed=1, dtype=torch.float32, positions=2.0, inner=2.0, output=0.8),
    # WordPiece; an output layer of its own; scaled embeddings; the decoder deeper; starts with another token.
    "word-pieces": RandomBart("minilm", dict(
        d_model=40, encoder_layers=1, decoder_layers=3, encoder_attention_heads=1, decoder_attention_heads=5,
        encoder_ffn_dim=44, decoder_ffn_dim=77, max_position_embeddings=101, activation_function="relu",
        scale_embedding=True, tie_word_embeddings=False),
        {"bos_token_id": 101, "pad_token_id": 0, "eos_token_id": 102, "decoder_start_token_id": 101},
        seed=2, dtype=torch.bfloat16, positions=2.0, inner=2.0, output=0.6),
    # Unigram; stored in half precision; scaled embeddings.
    "unigram": RandomBart("xlmr", dict(
        d_model=100, encoder_layers=2, decoder_layers=4, encoder_attention_heads=5, decoder_attention_heads=10,
        encoder_ffn_dim=130, decoder_ffn_dim=99, max_position_embeddings=77, activation_function="gelu_new",
        scale_embedding=True),
        BART_IDS, seed=3, dtype=torch.float16, positions=4.0, inner=3.0, output=0.6),
}  # fmt: skip


def _write_gpt2(directory):
    """BART's files with the first of GPT-2's merges and what they make."""
    source = ROOT / "build/gpt2_vocabulary"
    ids = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
    lines = (source / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines[1:] if line][:MERGES_KEPT]
    made = {"".join(merge.split(" ")) for merge in merges}
    pieces = [piece for piece in sorted(ids, key=ids.get) if piece in made or len(piece) == 1]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *pieces, "<mask>"]
    (directory / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}), encoding="utf-8")
    (directory / "merges.txt").write_text("\n".join([lines[0], *merges, ""]), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BartTokenizer"}))


def _write_tokenizer(name, minilm, directory):
    if name == "gpt2":
        _write_gpt2(directory)
        return
    source = minilm if name == "minilm" else ROOT / "build/tokenizers/xlmr"
    shutil.copy(source / "tokenizer.json", directory / "tokenizer.json")
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    if name == "minilm":
        special = {"bos_token": "[CLS]", "eos_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": name == "minilm", **special}))


def _spread(name, recipe):
    """Attention is sharp; what it adds must not drown what came before, or every step would be as the last one."""
    if "q_proj" in name or "k_proj" in name:
        return 1.5
    if "v_proj" in name:
        return 1.0
    return recipe.output if "out_proj" in name else recipe.inner


@torch.no_grad()
def randomize(model, recipe, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * noise)
        elif "embed_positions" in name:
            parameter.copy_(recipe.positions * noise)
        elif parameter.dim() == 1:
            parameter.copy_(0.3 * noise)
        elif "shared" in name or "lm_head" in name:
            # Rows of equal length, or a few tokens would win everywhere.
            parameter.copy_(EMBEDDING_LENGTH * noise / noise.norm(dim=1, keepdim=True))
        else:
            parameter.copy_(noise * _spread(name, recipe) / parameter.shape[1] ** 0.5)
    model.final_logits_bias.copy_(0.1 * torch.randn(model.final_logits_bias.shape, generator=generator))
    # Never, or a document that is padded beside others would forbid it, as one of its words.
    model.final_logits_bias[0, model.config.pad_token_id] = -50


@torch.no_grad()
def let_it_end(model, generator):
    """Sets the end token's bias so that it is the best in END_SHARE of the steps of random documents."""
    config = model.config
    ids = torch.randint(5, config.vocab_size, (30, 20), generator=generator)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=1, min_new_tokens=15, max_new_tokens=15,
                         return_dict_in_generate=True, output_logits=True)
    logits = torch.cat(out.logits[:-1]).float()
    end = logits[:, config.eos_token_id].clone()
    logits[:, config.eos_token_id] = -torch.inf
    model.final_logits_bias[0, config.eos_token_id] += (logits.max(1).values - end).quantile(END_SHARE)


def make(name, minilm, directory):
    """Writes the model; returns it as transformers loads it, in fp32, and its tokenizer."""
    recipe = MODELS[name]
    directory.mkdir(parents=True)
    _write_tokenizer(recipe.tokenizer, minilm, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = BartForConditionalGeneration(BartConfig(vocab_size=len(tokenizer), **recipe.config, **recipe.ids)).eval()
    generator = torch.Generator().manual_seed(recipe.seed)
    randomize(model, recipe, generator)
    let_it_end(model, generator)
    model.generation_config.forced_eos_token_id = None
    model.config.forced_eos_token_id = None
    model.generation_config.max_length = MAX_LENGTH
    model.to(recipe.dtype).save_pretrained(directory)
    return load(directory)


def load(directory):
    model = BartForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(directory)
