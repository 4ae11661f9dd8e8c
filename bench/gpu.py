#!/usr/bin/env python3
"""Encoders on a GPU: remuda's answers against PyTorch's and the CPU engine's, its bytes against themselves, and its speed
against PyTorch's in fp16, padded, with scaled_dot_product_attention. Weights and texts are random, of real sizes.

usage: python bench/gpu.py --library build/gpu/libremuda_cuda.so [--json FILE] [--only parity|speed] [--small]
Needs torch, transformers and numpy. Exits with 0 where all holds, 1 where something does not, 77 where there is no GPU.
"""
import concurrent.futures
import pathlib
import sys
import tempfile

import gpu_library
import gpu_models
import gpu_report
import numpy as np
import torch
from gpu_report import NO_GPU, Report, timed
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

# Layers, hidden size, heads, inner size: the models whose speed has a target.
SHAPES = {"MiniLM-L6": ("bert", 6, 384, 12, 1536), "mpnet-base": ("mpnet", 12, 768, 12, 3072),
          "bge-large": ("bert", 24, 1024, 16, 4096)}
SMALL_SHAPES = {"bert": ("bert", 2, 64, 2, 128), "mpnet": ("mpnet", 2, 64, 2, 128)}
SPEED_TARGETS = {"MiniLM-L6": 3.0, "mpnet-base": 1.8, "bge-large": 1.5}
MEAN_LENGTHS = (12, 80, 240)
SHORT_TEXT = 12
SPEED_TOKENS = {"MiniLM-L6": 1 << 17, "mpnet-base": 1 << 16, "bge-large": 1 << 15}  # Of the texts of a measurement.
MAX_LATENCY = 0.4
MAX_FP32_ERROR = 1e-4
MIN_COSINE = {"fp16": 0.9999, "bf16": 0.999, "tf32": 0.9999}
PRECISIONS = ("fp32", "fp16", "bf16", "tf32")


def make_model(shape, vocabulary):
    kind, layers, hidden, heads, inner = shape
    config, model = (BertConfig, BertModel) if kind == "bert" else (MPNetConfig, MPNetModel)
    torch.manual_seed(layers)
    made = model(config(vocab_size=vocabulary, num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
                        intermediate_size=inner, max_position_embeddings=514), add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            # Of a spread with which scores are of the order of one, as in a trained model, and biases are not nothing.
            if name.endswith("bias") and parameter.dim() == 1:
                parameter.normal_(0, 0.1)
            elif "LayerNorm.weight" in name:
                parameter.normal_(1, 0.1)
            elif "attention" in name and parameter.dim() == 2:
                parameter.mul_(3)
    return made


def make_texts(count, mean, vocabulary, seed):
    """Ids of texts as long as the descriptions of packages are: `mean` on average, a few four times that."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.gamma(2.0, mean / 2.0, count).astype(int), 3, 512)
    return [random.integers(5, vocabulary, length).tolist() for length in lengths]


def torch_encode(model, texts, device):
    """As sentence-transformers: padded, mean of the tokens, normalised."""
    longest = max(len(text) for text in texts)
    pad = model.config.pad_token_id
    ids = torch.full((len(texts), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(texts), longest), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, :len(text)] = torch.tensor(text)
        mask[row, :len(text)] = 1
    ids, mask = ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def check_parity(library, report, shapes, device, vocabulary, texts):
    for name, shape in shapes.items():
        model = make_model(shape, vocabulary).to(device)
        with torch.inference_mode():
            expected = torch_encode(model, texts, device)
        for precision in PRECISIONS:
            encoder = gpu_library.Encoder(library, model, precision)
            instance = gpu_library.Instance(encoder)
            found = instance.encode(texts)
            if precision == "fp32":
                error = float(np.abs(found - expected).max())
                report.add(f"{name} fp32: largest error", f"{error:.1e}", f"<= {MAX_FP32_ERROR}", error <= MAX_FP32_ERROR)
            else:
                least = float(cosines(found.astype(np.float64), expected.astype(np.float64)).min())
                limit = MIN_COSINE[precision]
                report.add(f"{name} {precision}: least cosine", f"{least:.6f}", f">= {limit}", least >= limit)
            check_bytes(report, f"{name} {precision}", encoder, instance, texts, found)
            instance.close()
            encoder.close()


def check_bytes(report, name, encoder, instance, texts, expected):
    """A text's vector is the same bytes alone, in another batch, and on several streams at once."""
    differ = sum(instance.encode([text]).tobytes() != row.tobytes() for text, row in zip(texts, expected))
    backwards = instance.encode(texts[::-1])[::-1]
    differ += sum(a.tobytes() != b.tobytes() for a, b in zip(backwards, expected))
    instances = [gpu_library.Instance(encoder) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            results = list(threads.map(lambda each: each.encode(texts), instances))
            differ += sum(result.tobytes() != expected.tobytes() for result in results)
    for each in instances:
        each.close()
    report.add(f"{name}: vectors whose bytes differ", differ, "== 0", differ == 0)


def check_engine(library, report):
    """The CPU engine of an installed package of remuda, on a model directory with a tokenizer."""
    what = "CPU engine: largest error in fp32"
    try:
        import remuda
        from tokenizers import Tokenizer
    except ImportError as error:
        report.add(what, str(error), "", None)
        return
    golden = gpu_models.GOLDEN / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(golden))
    tokenizer.no_padding()
    model = make_model(SMALL_SHAPES["bert"], tokenizer.get_vocab_size())
    texts = ["a horse", "The remuda waits at dawn, and of course a horse is a horse.", "x", "one two three " * 12]
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory)
        (pathlib.Path(directory) / "tokenizer.json").write_bytes(golden.read_bytes())
        manager = remuda.EmbeddingModelManager(remuda.Settings(embedding_model=directory))
        expected = np.asarray(manager.encode(texts, normalize_embeddings=True))
        manager.cleanup()
    encoder = gpu_library.Encoder(library, model, "fp32")
    instance = gpu_library.Instance(encoder)
    found = instance.encode([tokenizer.encode(text).ids for text in texts])
    instance.close()
    encoder.close()
    error = float(np.abs(found - expected).max())
    report.add(what, f"{error:.1e}", f"<= {MAX_FP32_ERROR}", error <= MAX_FP32_ERROR)


def batches(texts, full):
    """Texts sorted by length and cut where full(number, longest) says so."""
    ordered = sorted(texts, key=len)
    batch = []
    for text in ordered:
        if batch and full(batch, text):
            yield batch
            batch = []
        batch.append(text)
    yield batch


def remuda_speed(encoder, texts, seconds):
    """Tokens a second by batches of so many tokens, with two streams in turn, so that one is read while one computes."""
    tokens = sum(map(len, texts))
    instances = [gpu_library.Instance(encoder) for _ in range(2)]
    speeds = {}
    for budget in (4096, 8192, 16384, 32768):
        parts = list(batches(texts, lambda batch, text: sum(map(len, batch)) + len(text) > budget))

        def one_stream(which, parts=parts):
            for part in parts[which::2]:
                instances[which].encode(part)

        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            speeds[budget] = tokens / timed(lambda: list(threads.map(one_stream, (0, 1))), seconds)
    for instance in instances:
        instance.close()
    return speeds


def torch_speed(model, texts, device, seconds):
    """Tokens a second by batches of so many texts."""
    tokens = sum(map(len, texts))
    speeds = {}
    with torch.inference_mode():
        for size in (32, 64, 128, 256):
            parts = list(batches(texts, lambda batch, text: len(batch) == size))
            speeds[size] = tokens / timed(lambda: [torch_encode(model, part, device) for part in parts], seconds)
    return speeds


def check_latency(report, name, encoder, model, device, vocabulary, seconds):
    """One short text, alone."""
    text = make_texts(1, SHORT_TEXT, vocabulary, 3)
    instance = gpu_library.Instance(encoder)
    ours = timed(lambda: instance.encode(text), seconds)
    instance.close()
    with torch.inference_mode():
        theirs = timed(lambda: torch_encode(model, text, device), seconds)
    print(f"{name}, one text: remuda {1e3 * ours:.3f} ms, PyTorch {1e3 * theirs:.3f}")
    report.add(f"{name} fp16, one short text: time by PyTorch's", f"{ours / theirs:.2f}", f"<= {MAX_LATENCY}",
               ours <= MAX_LATENCY * theirs)
    return {"remuda": ours, "pytorch": theirs}


def check_speed(library, report, shapes, device, vocabulary, seconds):
    figures = {}
    for name, shape in shapes.items():
        model = make_model(shape, vocabulary)
        encoder = gpu_library.Encoder(library, model, "fp16")
        model = model.half().to(device)
        for mean in MEAN_LENGTHS:
            texts = make_texts(SPEED_TOKENS.get(name, 100) // mean, mean, vocabulary, 2)
            ours = remuda_speed(encoder, texts, seconds)
            theirs = torch_speed(model, texts, device, seconds)
            figures[f"{name}, {mean} tokens"] = {"remuda": ours, "pytorch": theirs}
            ratio = max(ours.values()) / max(theirs.values())
            target = SPEED_TARGETS.get(name, 1.0)
            print(f"{name}, {mean} tokens: remuda {max(ours.values()):,.0f} tokens/s, PyTorch {max(theirs.values()):,.0f}")
            report.add(f"{name} fp16, texts of {mean} tokens: remuda by PyTorch", f"{ratio:.2f}", f">= {target}",
                       ratio >= target)
        figures[f"{name}, latency"] = check_latency(report, name, encoder, model, device, vocabulary, seconds)
        encoder.close()
    return figures


def main():
    parser = gpu_report.parser(__doc__)
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=("parity", "speed"))
    parser.add_argument("--seconds", type=float, default=0.4, help="of each measurement (%(default)s)")
    arguments = parser.parse_args()
    try:
        library = gpu_library.Library(arguments.library.resolve())
    except gpu_library.NoGpu as error:
        print(f"no GPU: {error}; nothing was tried")
        return NO_GPU
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    shapes, vocabulary = (SMALL_SHAPES, 1000) if arguments.small else (SHAPES, 30527)
    print(f"{library.device}; {library.build}; PyTorch {torch.__version__} on {device}")
    report = Report()
    figures = {}
    if arguments.only != "speed":
        texts = make_texts(2 if arguments.small else 24, 10 if arguments.small else 60, vocabulary, 1)
        check_parity(library, report, shapes, device, vocabulary, [*texts, [7], [7, 8]])
        check_engine(library, report)
    if arguments.only != "parity":
        figures = check_speed(library, report, shapes, device, vocabulary, arguments.seconds)
    return report.end(arguments.json, device=library.device, build=library.build, pytorch=torch.__version__, speed=figures)


if __name__ == "__main__":
    sys.exit(main())
