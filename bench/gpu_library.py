"""libremuda_cuda.so from Python, by its two tables of functions (src/device/cuda_backend.h, src/models/cuda_models.h)."""
import ctypes
from ctypes import POINTER, c_char, c_char_p, c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p

import numpy as np

ABI_VERSION = 2
MODELS_ABI_VERSION = 3
NUMBER_TYPES = {"fp32": 0, "fp16": 1, "bf16": 2, "tf32": 3}
ACTIVATIONS = {"none": 0, "gelu": 1, "gelu_new": 2, "relu": 3, "tanh": 4}
POOLINGS = {"cls": 0, "max": 1, "mean": 2, "mean_sqrt_len": 3, "weighted_mean": 4, "last_token": 5}


class Message(ctypes.Structure):
    _fields_ = [("text", c_char * 512)]


class DeviceInfo(ctypes.Structure):
    _fields_ = [("name", c_char * 128), ("major", c_int32), ("minor", c_int32), ("multiprocessors", c_int32),
                ("reserved", c_int32), ("memory_total", c_uint64), ("problem", c_char * 256)]


def _function(*arguments, result=c_int32):
    return ctypes.CFUNCTYPE(result, *arguments)


_M = POINTER(Message)


class Backend(ctypes.Structure):
    _fields_ = [
        ("abi_version", c_uint32), ("computes_models", c_int32), ("build", c_char_p),
        ("start", _function(POINTER(c_int32), _M)),
        ("describe", _function(c_int32, POINTER(DeviceInfo), _M)),
        ("memory", _function(c_int32, POINTER(c_uint64), POINTER(c_uint64), _M)),
        ("find_products", _function(_M)),
        ("make_stream", _function(c_int32, POINTER(c_void_p), _M)),
        ("destroy_stream", _function(c_void_p, result=None)),
        ("synchronize", _function(c_void_p, _M)),
        ("make_pool", _function(c_int32, POINTER(c_void_p), _M)),
        ("destroy_pool", _function(c_void_p, result=None)),
        ("allocate", _function(c_void_p, c_uint64, c_void_p, POINTER(c_void_p), _M)),
        ("release", _function(c_void_p, c_void_p, c_void_p, _M)),
    ]  # What follows is not used here.


class HostMatrix(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("type", c_int32), ("reserved", c_int32)]


class HostEncoderLayer(ctypes.Structure):
    _fields_ = [(name, HostMatrix) for name in ("query", "key", "value", "attention_output")] + [
        (name, c_void_p) for name in ("query_bias", "key_bias", "value_bias", "attention_output_bias",
                                      "attention_gamma", "attention_beta")] + [
        ("intermediate", HostMatrix), ("output", HostMatrix)] + [
        (name, c_void_p) for name in ("intermediate_bias", "output_bias", "output_gamma", "output_beta")]


class HostEncoder(ctypes.Structure):
    _fields_ = [(name, c_int32) for name in ("vocab_size", "hidden_size", "num_layers", "num_heads",
                                             "intermediate_size", "max_positions")] + [
        ("layer_norm_epsilon", c_float)] + [
        (name, c_int32) for name in ("activation", "computed_as", "num_poolings", "num_dense", "normalizes")] + [
        ("words", HostMatrix)] + [
        (name, c_void_p) for name in ("positions", "embedding_gamma", "embedding_beta", "relative_bias")] + [
        ("layers", POINTER(HostEncoderLayer)), ("poolings", POINTER(c_int32)), ("dense", c_void_p)]


class HostBatch(ctypes.Structure):
    _fields_ = [(name, c_void_p) for name in ("ids", "position_ids", "offsets", "skipped")] + [("sequences", c_int64)]


class Models(ctypes.Structure):
    _fields_ = [
        ("abi_version", c_uint32), ("reserved", c_uint32),
        ("encoder_bytes", _function(POINTER(HostEncoder), POINTER(c_uint64), POINTER(c_uint64), _M)),
        ("load_encoder", _function(c_void_p, POINTER(HostEncoder), c_void_p, c_void_p, POINTER(c_void_p), _M)),
        ("unload_encoder", _function(c_void_p, result=None)),
        ("dimension", _function(c_void_p)),
        ("workspace_bytes", _function(c_void_p, POINTER(HostBatch), POINTER(c_uint64), _M)),
        ("encode", _function(c_void_p, c_void_p, c_void_p, POINTER(HostBatch), c_void_p, _M)),
    ]


class NoGpu(Exception):
    """There is none that the library can use; says why."""


class Library:
    """The library, and its first GPU. A function that fails raises RuntimeError with the library's message."""

    def __init__(self, path):
        library = ctypes.CDLL(str(path))
        self.backend = self._table(library.remuda_cuda_backend, Backend, ABI_VERSION)
        self.models = self._table(library.remuda_cuda_models, Models, MODELS_ABI_VERSION)
        count = c_int32()
        try:
            self.call(self.backend.start, ctypes.byref(count))
        except RuntimeError as error:
            raise NoGpu(str(error)) from None
        if count.value == 0:
            raise NoGpu("there is none")
        info = DeviceInfo()
        self.call(self.backend.describe, 0, ctypes.byref(info))
        if info.problem:
            raise NoGpu(info.problem.decode())
        self.device = info.name.decode()
        self.build = self.backend.build.decode()

    @staticmethod
    def _table(function, table, version):
        function.restype = POINTER(table)
        found = function().contents
        if found.abi_version != version:
            raise SystemExit(f"error: the library's interface is of version {found.abi_version}, and this of {version}")
        return found

    @staticmethod
    def call(function, *arguments):
        message = Message()
        status = function(*arguments, ctypes.byref(message))
        if status != 0:
            raise RuntimeError(f"{message.text.decode()} (status {status})")

    def make(self, function):
        made = c_void_p()
        self.call(function, 0, ctypes.byref(made))
        return made


class Memory:
    """Of the GPU, from a pool and in a stream's order, as long as the context."""

    def __init__(self, library, pool, bytes, stream):
        self._library, self._pool, self._stream = library, pool, stream
        self.data = c_void_p()
        library.call(library.backend.allocate, pool, bytes, stream, ctypes.byref(self.data))

    def release(self):
        self._library.call(self._library.backend.release, self._pool, self.data, self._stream)

    def __enter__(self):
        return self.data

    def __exit__(self, *_):
        self.release()


class Instance:
    """A stream; memory comes of the encoder's pool. For one thread at a time."""

    def __init__(self, encoder):
        self._encoder = encoder
        self._stream = encoder.library.make(encoder.library.backend.make_stream)

    def close(self):
        self._encoder.library.backend.destroy_stream(self._stream)

    def encode(self, texts):
        """Lists of ids to an array [texts, dimension]."""
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        ids = np.concatenate([np.asarray(text, np.int32) for text in texts])
        first = self._encoder.first_position
        positions = np.concatenate([np.arange(first, first + len(text), dtype=np.int32) for text in texts])
        vectors = np.full((len(texts), self._encoder.dimension), np.nan, np.float32)
        batch = HostBatch(ids.ctypes.data, positions.ctypes.data, offsets.ctypes.data, None, len(texts))
        library = self._encoder.library
        bytes = c_uint64()
        library.call(library.models.workspace_bytes, self._encoder.handle, ctypes.byref(batch), ctypes.byref(bytes))
        with Memory(library, self._encoder.pool, bytes, self._stream) as workspace:
            library.call(library.models.encode, self._encoder.handle, self._stream, workspace, ctypes.byref(batch),
                         vectors.ctypes.data)
        return vectors


class Encoder:
    """A BERT or MPNet of transformers, its mean pooled and normalised, on the library's GPU."""

    def __init__(self, library, model, precision, poolings=("mean",)):
        self.library = library
        self._kept = []
        host = self._describe(model, precision, poolings)
        self.pool = library.make(library.backend.make_pool)
        self._stream = library.make(library.backend.make_stream)
        weights, loading = c_uint64(), c_uint64()
        library.call(library.models.encoder_bytes, ctypes.byref(host), ctypes.byref(weights), ctypes.byref(loading))
        self._weights = Memory(library, self.pool, weights, self._stream)
        self.handle = c_void_p()
        with Memory(library, self.pool, loading, self._stream) as trial:
            library.call(library.models.load_encoder, self._stream, ctypes.byref(host), self._weights.data, trial,
                         ctypes.byref(self.handle))
        self.dimension = library.models.dimension(self.handle)
        self._kept.clear()  # Nothing of it is needed any more.

    def close(self):
        self.library.models.unload_encoder(self.handle)
        self._weights.release()
        self.library.call(self.library.backend.synchronize, self._stream)
        self.library.backend.destroy_stream(self._stream)
        self.library.backend.destroy_pool(self.pool)

    def _floats(self, tensor):
        array = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        self._kept.append(array)
        return array.ctypes.data

    def _matrix(self, tensor):
        return HostMatrix(self._floats(tensor), NUMBER_TYPES["fp32"], 0)

    def _describe(self, model, precision, poolings):
        config, weights = model.config, model.state_dict()
        is_mpnet = config.model_type == "mpnet"
        self.first_position = config.pad_token_id + 1 if is_mpnet else 0
        positions = weights["embeddings.position_embeddings.weight"]
        if not is_mpnet:
            positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
        layers = [self._layer(weights, f"encoder.layer.{i}.", is_mpnet) for i in range(config.num_hidden_layers)]
        modes = (c_int32 * len(poolings))(*(POOLINGS[name] for name in poolings))
        self._kept.append(modes)
        return HostEncoder(
            vocab_size=config.vocab_size, hidden_size=config.hidden_size, num_layers=config.num_hidden_layers,
            num_heads=config.num_attention_heads, intermediate_size=config.intermediate_size,
            max_positions=config.max_position_embeddings, layer_norm_epsilon=config.layer_norm_eps,
            activation=ACTIVATIONS[config.hidden_act], computed_as=NUMBER_TYPES[precision],
            num_poolings=len(poolings), num_dense=0, normalizes=1,
            words=self._matrix(weights["embeddings.word_embeddings.weight"]), positions=self._floats(positions),
            embedding_gamma=self._floats(weights["embeddings.LayerNorm.weight"]),
            embedding_beta=self._floats(weights["embeddings.LayerNorm.bias"]),
            relative_bias=self._relative_bias(model) if is_mpnet else None,
            layers=(HostEncoderLayer * len(layers))(*layers), poolings=modes, dense=None)

    def _relative_bias(self, model):
        """Of each distance, by transformers' own buckets: [heads, 2 * max_positions - 1]."""
        import torch
        furthest = model.config.max_position_embeddings - 1
        distances = torch.arange(-furthest, furthest + 1)
        buckets = model.encoder.relative_position_bucket(distances, num_buckets=model.config.relative_attention_num_buckets)
        table = model.encoder.relative_attention_bias.weight.detach().cpu()
        return self._floats(table[buckets].T)

    def _layer(self, weights, prefix, is_mpnet):
        attention = ({"query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v",
                      "attention_output": "attention.attn.o"} if is_mpnet else
                     {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
                      "attention_output": "attention.output.dense"})
        attention_norm = "attention.LayerNorm" if is_mpnet else "attention.output.LayerNorm"
        layer = HostEncoderLayer()
        for field, name in {**attention, "intermediate": "intermediate.dense", "output": "output.dense"}.items():
            setattr(layer, field, self._matrix(weights[f"{prefix}{name}.weight"]))
            setattr(layer, field + "_bias", self._floats(weights[f"{prefix}{name}.bias"]))
        for field, name in {"attention": attention_norm, "output": "output.LayerNorm"}.items():
            setattr(layer, field + "_gamma", self._floats(weights[f"{prefix}{name}.weight"]))
            setattr(layer, field + "_beta", self._floats(weights[f"{prefix}{name}.bias"]))
        return layer
