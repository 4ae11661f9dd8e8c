"""What remuda is compared with: an engine a class, each at the settings at which it is quickest on few cores.

All of them take a list of strings and return an array [texts, dimension] of float32. `batch_size` is the number of
texts that they compute at once; the texts are sorted by length first, so that batches have little padding.
"""
import concurrent.futures
import dataclasses
import threading

import numpy as np

MAX_TOKENS = 256


@dataclasses.dataclass
class Parallelism:
    calls: int  # Batches computed at the same time,
    threads: int  # each by so many.


class SentenceTransformers:
    """PyTorch. It tokenizes, sorts, pads and pools by itself."""

    def __init__(self, model, exported, precision, parallelism):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(parallelism.calls * parallelism.threads)
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
        self._model = SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": dtype})
        self._model.max_seq_length = MAX_TOKENS

    def encode(self, texts, batch_size):
        vectors = self._model.encode(texts, batch_size=batch_size, show_progress_bar=False, convert_to_tensor=True)
        return vectors.float().numpy()


class TokenEngine:
    """Tokenizer, batches, mean pooling and normalization around an engine that maps token ids to token vectors."""

    def __init__(self, model, parallelism):
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._calls = concurrent.futures.ThreadPoolExecutor(parallelism.calls)

    def encode(self, texts, batch_size):
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        vectors = [None] * len(rows)

        def compute(start):
            batch = order[start:start + batch_size]
            hidden = self.token_vectors([rows[i] for i in batch])
            for vector, i in zip(hidden, batch):
                mean = vector[:len(rows[i])].mean(axis=0)
                vectors[i] = mean / np.linalg.norm(mean)

        starts = range(0, len(order), batch_size)
        run = map if len(starts) == 1 else self._calls.map  # One batch stays on this thread.
        list(run(compute, starts))
        return np.stack(vectors)

    def token_vectors(self, rows):
        """The array [texts, tokens of the longest, hidden size] for lists of ids, the longest first. Called by
        several threads at the same time."""
        raise NotImplementedError


def padded(rows):
    ids = np.zeros((len(rows), len(rows[0])), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = row
        mask[i, :len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


class OnnxRuntime(TokenEngine):
    def __init__(self, model, exported, precision, parallelism):
        import onnxruntime

        super().__init__(model, parallelism)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = parallelism.threads
        path = str(exported / f"{precision}.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def token_vectors(self, rows):
        return self._session.run(None, padded(rows))[0]


class OpenVino(TokenEngine):
    def __init__(self, model, exported, precision, parallelism):
        import openvino

        super().__init__(model, parallelism)
        settings = {"INFERENCE_NUM_THREADS": parallelism.calls * parallelism.threads, "NUM_STREAMS": parallelism.calls,
                    "PERFORMANCE_HINT": "LATENCY" if parallelism.calls == 1 else "THROUGHPUT",
                    "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}
        self._compiled = openvino.Core().compile_model(str(exported / "plain.onnx"), "CPU", settings)
        self._thread = threading.local()

    def token_vectors(self, rows):
        if not hasattr(self._thread, "request"):
            self._thread.request = self._compiled.create_infer_request()
        outputs = self._thread.request.infer(padded(rows), share_inputs=True, share_outputs=True)
        return outputs[self._compiled.output(0)]


class CTranslate2(TokenEngine):
    def __init__(self, model, exported, precision, parallelism):
        import ctranslate2

        super().__init__(model, parallelism)
        compute_type = {"fp32": "float32", "int8": "int8"}[precision]
        self._encoder = ctranslate2.Encoder(str(exported / "ctranslate2"), compute_type=compute_type,
                                            inter_threads=parallelism.calls, intra_threads=parallelism.threads)

    def token_vectors(self, rows):
        return np.array(self._encoder.forward_batch(rows).last_hidden_state)


ENGINES = {"sentence-transformers": SentenceTransformers, "onnxruntime": OnnxRuntime, "openvino": OpenVino,
           "ctranslate2": CTranslate2}
