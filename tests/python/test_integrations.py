"""Adapters, against the real libraries where they are installed."""

import asyncio
import pickle

import numpy as np
import pytest
from conftest import ROOT

from remuda.integrations.sentence_transformers import SentenceTransformer
from remuda.testing import FakeEmbeddingModelManager

TEXTS = ["a horse of course", "bread rises", "bread and yeast"]


def test_langchain(embedder):
    pytest.importorskip("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore

    from remuda.integrations.langchain import RemudaEmbeddings

    embeddings = RemudaEmbeddings(embedder)
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    assert store.similarity_search("why does bread become fluffy?", k=1)[0].page_content.startswith("bread")
    expected = embedder.encode(TEXTS).tolist()
    assert embeddings.embed_documents(TEXTS) == expected
    assert asyncio.run(embeddings.aembed_documents(TEXTS)) == expected
    assert asyncio.run(embeddings.aembed_query(TEXTS[0])) == embeddings.embed_query(TEXTS[0]) == expected[0]
    assert RemudaEmbeddings(embedder, query_prompt="query: ").embed_query("a") == embedder.embed_text("query: a").tolist()


def test_llama_index(embedder):
    pytest.importorskip("llama_index.core")
    from remuda.integrations.llama_index import RemudaEmbedding

    model = RemudaEmbedding(embedder)
    assert model.get_text_embedding_batch(TEXTS) == embedder.encode(TEXTS).tolist()
    assert model.get_query_embedding("a") == embedder.encode("a").tolist()
    assert asyncio.run(model.aget_query_embedding("a")) == embedder.encode("a").tolist()
    assert model.similarity(model.get_text_embedding("bread"), model.get_text_embedding("bread")) == pytest.approx(1)


def test_sklearn(embedder):
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from remuda.integrations.sklearn import TextEmbedder

    texts = ["bread and yeast", "dough in the oven", "horses in a herd", "a saddle for the horse"]
    pipeline = make_pipeline(TextEmbedder(normalize_embeddings=True), LogisticRegression())
    pipeline.fit(texts, ["bread", "bread", "horse", "horse"])
    assert pipeline.predict(["a loaf of bread", "a mare and her foal"]).tolist() == ["bread", "horse"]
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.predict(["a loaf of bread"]).tolist() == ["bread"]
    assert clone(TextEmbedder("models/all-MiniLM-L6-v2")).transform(texts).shape == (4, 384)
    assert len(TextEmbedder(truncate_dim=5).get_feature_names_out()) == 5


def test_sentence_transformer(embedder):
    model = SentenceTransformer("models/all-MiniLM-L6-v2", truncate_dim=100)
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension() == 100
    assert model.max_seq_length == 256
    vectors = model.encode(TEXTS)
    assert vectors.shape == (3, 100)
    scores = model.similarity(vectors, vectors)
    assert np.diag(scores) == pytest.approx(1, abs=1e-5)
    assert scores[1, 2] > scores[0, 1]
    assert np.array_equal(model.encode_query("a"), model.encode("a"))
    shared = SentenceTransformer(embedder, similarity_fn_name="euclidean")
    assert shared.similarity(shared.encode("a"), shared.encode(["a", "b"]))[0, 0] == pytest.approx(0, abs=1e-3)
    with pytest.raises(ValueError, match="similarity_fn_name"):
        SentenceTransformer(embedder, similarity_fn_name="telepathy")
    with pytest.raises(ValueError, match="device"):
        SentenceTransformer(embedder, device="cuda")


def test_what_sentence_transformer_has(embedder):
    model = SentenceTransformer(embedder)
    assert np.array_equal(model.encode(inputs=TEXTS), model.encode(sentences=TEXTS))
    assert model.eval() is model.to("cpu") is model.cpu() is model.train(False) is model
    with pytest.raises(NotImplementedError, match="train"):
        model.train()
    model.max_seq_length = 5
    assert model.max_seq_length == model.get_max_seq_length() == 5 and embedder.max_seq_length == 256
    assert np.array_equal(model.encode("bread rises in the oven"), model.encode("bread rises in a pan"))
    assert model.tokenize(["bread rises in the oven", "a"])["input_ids"].shape == (2, 5)
    with pytest.warns(UserWarning, match="positions for 512"):
        model.max_seq_length = 100_000
    assert model.max_seq_length == 512
    model.max_seq_length = None
    assert model.max_seq_length == 256
    with pytest.raises(ValueError, match="max_seq_length"):
        model.max_seq_length = 2
    with pytest.raises(TypeError, match="max_seq_length"):
        model.max_seq_length = "5"
    with model.truncate_embeddings(7):
        assert model.encode("a").shape == (7,)
    assert model.encode("a").shape == (384,)
    pool = model.start_multi_process_pool(["cpu"] * 2)
    assert np.array_equal(model.encode(TEXTS, pool=pool, chunk_size=2), model.encode(TEXTS, device=["cpu", "cpu"]))
    assert np.array_equal(model.encode_multi_process(TEXTS, pool), model.encode(TEXTS))
    model.stop_multi_process_pool(pool)
    with pytest.raises(TypeError):
        model.encode("a", temperature=3)
    for wrong in ({"a": "x"}, None):
        with pytest.raises(TypeError, match="expected a list of str"):
            model.encode(wrong)


def test_prompts_of_sentence_transformer():
    manager = FakeEmbeddingModelManager(dimension=8, prompts={"query": "find ", "passage": "passage: "})
    own = SentenceTransformer(manager)
    assert own.prompts == {"query": "find ", "document": "", "passage": "passage: "}
    assert np.array_equal(own.encode_query("a"), manager.encode("find a"))
    assert np.array_equal(own.encode("a", "passage"), manager.encode("passage: a"))
    # The library's "document" is always there, so its encode_document never comes to "passage".
    assert np.array_equal(own.encode_document("a"), manager.encode("a"))
    model = SentenceTransformer(manager, prompts={"query": "ask ", "x": "y "}, default_prompt_name="x")
    assert np.array_equal(model.encode("a"), manager.encode("y a"))
    assert np.array_equal(model.encode("a", prompt=""), manager.encode("a"))
    assert np.array_equal(model.encode("a", prompt="z ", prompt_name="x"), manager.encode("z a"))
    assert np.array_equal(model.encode_query("a"), manager.encode("ask a"))
    assert np.array_equal(model.encode_query("a", prompt_name="x"), manager.encode("y a"))
    assert np.array_equal(model.encode_document("a"), manager.encode("a"))
    model.prompts["new"] = "n "
    assert np.array_equal(model.encode("a", prompt_name="new"), manager.encode("n a"))
    with pytest.raises(ValueError, match="prompt_name"):
        model.encode("a", prompt_name="none")
    with pytest.raises(ValueError, match="default_prompt_name"):
        SentenceTransformer(manager, default_prompt_name="none")
    with pytest.raises(TypeError, match="prompts"):
        SentenceTransformer(manager, prompts=["query"])


def test_the_tokenizer(embedder):
    tokenizer = embedder.tokenizer
    ids = tokenizer.encode("a horse of course")
    assert ids[0] == 101 and ids[-1] == 102 and tokenizer.encode("a horse of course", False) == ids[1:-1]
    assert tokenizer.tokenize("a horse") == ["a", "horse"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a horse of course"
    assert tokenizer.batch_decode([ids, [101]], True) == ["a horse of course", ""]
    assert tokenizer.convert_ids_to_tokens(101) == "[CLS]" and tokenizer.convert_tokens_to_ids(["[SEP]"]) == [102]
    assert len(tokenizer) == tokenizer.vocab_size == 30522
    both = embedder.tokenize(["a horse of course", "a"])
    assert both["input_ids"].tolist() == [ids, [101, 1037, 102, 0, 0, 0]]
    assert both["attention_mask"].sum(axis=1).tolist() == [6, 3]
    assert tokenizer("a", padding=False, return_tensors=None) == {"input_ids": [101, 1037, 102], "attention_mask": [1, 1, 1]}
    assert embedder.tokenize("horse " * 1000)["input_ids"].shape == (1, 256)
    assert embedder.tokenize([])["input_ids"].shape == (0, 0)
    assert tokenizer("horse " * 1000, truncation=False)["input_ids"].shape == (1, 1002)


def test_a_document_and_its_tokens(summarizer):
    ids = summarizer.tokenize("The remuda waits at dawn.")["input_ids"][0]
    assert summarizer.tokenizer.decode(ids, skip_special_tokens=True) == "the remuda waits at dawn."  # As transformers has it: the model is uncased.
    assert summarizer.tokenize("horse " * 5000)["input_ids"].shape == (1, summarizer.max_seq_length)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(name):
    a, b = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
    model = SentenceTransformer(FakeEmbeddingModelManager(dimension=6), similarity_fn_name=name)
    scores, pairs = model.similarity(a, b), model.similarity_pairwise(a, b)
    assert scores.shape == (4, 4) and np.allclose(np.diag(scores), pairs, atol=1e-6)
    assert model.similarity(a[0], list(b)).shape == (1, 4)
    by_hand = {
        "cosine": lambda x, y: x @ y / np.sqrt((x @ x) * (y @ y)),
        "dot": lambda x, y: x @ y,
        "euclidean": lambda x, y: -np.sqrt(((x - y) ** 2).sum()),
        "manhattan": lambda x, y: -abs(x - y).sum(),
    }[name]
    assert np.allclose(scores, [[by_hand(x, y) for y in b] for x in a], atol=1e-5)
    model.similarity_fn_name = None
    assert model.similarity_fn_name == "cosine"


OPTIONS_THAT_MEAN_NOTHING = {
    "trust_remote_code": {"trust_remote_code": True},
    "token": {"token": "hf_x"},
    "use_auth_token": {"use_auth_token": True},
    "backend": {"backend": "onnx"},
    "model_card_data": {"model_card_data": object()},
    "attn_implementation": {"model_kwargs": {"attn_implementation": "sdpa"}},
    "file_name": {"model_kwargs": {"file_name": "onnx/model.onnx"}},
    "padding_side": {"tokenizer_kwargs": {"padding_side": "left"}},
    "use_fast": {"processor_kwargs": {"use_fast": True}},
}


@pytest.mark.parametrize("name", OPTIONS_THAT_MEAN_NOTHING)
def test_an_option_that_means_nothing_says_so(embedder, name):
    with pytest.warns(UserWarning, match="means nothing here"):
        model = SentenceTransformer(embedder, **OPTIONS_THAT_MEAN_NOTHING[name])
    assert model.encode("a").shape == (384,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trust_remote_kode": True}, TypeError, "trust_remote_kode"),
        ({"backend": "tpu"}, ValueError, "backend"),
        ({"modules": [1]}, ValueError, "modules"),
        ({"model_kwargs": {"dtype": "float64"}}, ValueError, "dtype"),
        ({"model_kwargs": {"load_in_8bit": True}}, ValueError, "int8"),
        ({"model_kwargs": "cpu"}, TypeError, "model_kwargs"),
        ({"processor_kwargs": {"do_lower_case": False}}, ValueError, "do_lower_case"),
        ({"tokenizer_kwargs": {"truncation_side": "left"}}, ValueError, "truncation_side"),
        ({"config_kwargs": {"num_hidden_layers": 2}}, ValueError, "num_hidden_layers"),
        ({"revision": "no-such-revision"}, FileNotFoundError, "no-such-revision"),
        ({"revision": "../../../etc"}, ValueError, "revision"),
        ({"device": "mps"}, ValueError, "device"),
        ({"truncate_dim": 0}, ValueError, "truncate_dim"),
    ],
)
def test_an_option_that_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2", **options)


def test_options_that_are_honoured(tmp_path, monkeypatch):
    model = SentenceTransformer(
        "models/all-MiniLM-L6-v2",
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": "bfloat16"},
        processor_kwargs={"model_max_length": 8},
    )
    assert (model.manager.precision, model.max_seq_length, model.device) == ("bf16", 8, "cpu")
    # A cache as huggingface_hub writes it, with two revisions.
    folder = tmp_path / "models--somebody--x"
    for revision, commit in (("main", "a" * 40), ("v1", "b" * 40)):
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
        (folder / "snapshots").mkdir(exist_ok=True)
        (folder / "snapshots" / commit).symlink_to((ROOT / "models/all-MiniLM-L6-v2").resolve())
    for options, commit in (({}, "a"), ({"revision": "v1"}, "b"), ({"revision": "b" * 40}, "b")):
        found = SentenceTransformer("somebody/x", cache_folder=tmp_path, **options).manager.info["directory"]
        assert found.endswith(commit * 40) or found == str((ROOT / "models/all-MiniLM-L6-v2").resolve())
        assert SentenceTransformer("somebody/x", cache_folder=tmp_path, **options).encode("a").shape == (384,)
    with pytest.raises(FileNotFoundError, match="v2"):
        SentenceTransformer("somebody/x", cache_folder=tmp_path, revision="v2")
    with pytest.raises(FileNotFoundError):
        SentenceTransformer("somebody/x")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    assert SentenceTransformer("somebody/x").encode("a").shape == (384,)
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert SentenceTransformer("somebody/x", revision="v1").encode("a").shape == (384,)


def test_langchain_prompts_and_options():
    pytest.importorskip("langchain_core")
    from remuda.integrations.langchain import RemudaEmbeddings

    manager = FakeEmbeddingModelManager(dimension=8, prompts={"query": "find ", "document": "text: "})
    model = RemudaEmbeddings(manager)
    assert model.embed_query("a") == manager.encode("find a").tolist()
    assert model.embed_documents(["a", "b"]) == manager.encode(["text: a", "text: b"]).tolist()
    assert asyncio.run(model.aembed_query("a")) == model.embed_query("a")
    assert asyncio.run(model.aembed_documents(["a"])) == model.embed_documents(["a"])
    without = RemudaEmbeddings(manager, query_prompt="", document_prompt="d ")
    assert without.embed_query("a") == manager.encode("a").tolist()
    assert without.embed_documents(["a"]) == manager.encode(["d a"]).tolist()
    encoded = RemudaEmbeddings(manager, encode_kwargs={"normalize_embeddings": True, "prompt": "p "}, query_encode_kwargs={})
    assert np.allclose(encoded.embed_documents(["a"]), manager.encode(["p a"], normalize_embeddings=True))
    assert encoded.embed_query("a") == manager.encode("find a").tolist()
    named = RemudaEmbeddings(model_name="models/all-MiniLM-L6-v2", model_kwargs={"device": "cpu"}, local_files_only=True)
    assert len(named.embed_query("a")) == 384
    with pytest.warns(UserWarning, match="trust_remote_code: means nothing here"):
        RemudaEmbeddings(manager, trust_remote_code=True)
    with pytest.raises(TypeError, match="nonsense"):
        RemudaEmbeddings(manager, nonsense=1)
    for wrong in ({"a": "x"}, "a text", {"a"}):
        with pytest.raises(TypeError, match="texts: expected a list"):
            model.embed_documents(wrong)
        with pytest.raises(TypeError, match="texts: expected a list"):
            asyncio.run(model.aembed_documents(wrong))
    with pytest.raises(TypeError, match="text: expected a str"):
        model.embed_query(["a"])


def test_llama_index_prompts_and_options():
    pytest.importorskip("llama_index.core")
    from remuda.integrations.llama_index import RemudaEmbedding

    manager = FakeEmbeddingModelManager(dimension=8, prompts={"query": "find ", "document": "text: "})
    model = RemudaEmbedding(manager)
    assert model.get_query_embedding("a") == manager.encode("find a").tolist()
    assert model.get_text_embedding("a") == manager.encode("text: a").tolist()
    assert model.get_text_embedding_batch(["a", "b"]) == manager.encode(["text: a", "text: b"]).tolist()
    assert asyncio.run(model.aget_text_embedding("a")) == model.get_text_embedding("a")
    assert asyncio.run(model.aget_query_embedding("a")) == model.get_query_embedding("a")
    without = RemudaEmbedding(manager, query_instruction="ask ", text_prompt="")
    assert without.get_query_embedding("a") == manager.encode("ask a").tolist()
    assert without.get_text_embedding("a") == manager.encode("a").tolist()
    named = RemudaEmbedding(model_name="models/all-MiniLM-L6-v2", max_length=5, normalize=True, device="cpu")
    assert named.get_text_embedding("bread rises in the oven") == named.get_text_embedding("bread rises in a pan")
    with pytest.warns(UserWarning, match="trust_remote_code: means nothing here"):
        RemudaEmbedding(manager, trust_remote_code=True)
    with pytest.raises(TypeError, match="nonsense"):
        RemudaEmbedding(manager, nonsense=1)


def test_sklearn_takes_texts():
    pytest.importorskip("sklearn")
    from remuda.integrations.sklearn import TextEmbedder

    for wrong in ({"a": "x"}, "a text", {"a"}, b"a"):
        with pytest.raises(TypeError, match="texts: expected a list"):
            TextEmbedder().transform(wrong)


@pytest.fixture(scope="module")
def original():
    library = pytest.importorskip("sentence_transformers")
    return library.SentenceTransformer("models/all-MiniLM-L6-v2", device="cpu")


def test_sentence_transformer_says_what_the_library_says(embedder, original):
    """All that the adapter has in common with the original, on the same texts."""
    ours = SentenceTransformer(embedder)
    for options in (
        {},
        {"normalize_embeddings": True},
        {"batch_size": 2},
        {"precision": "ubinary"},
        {"precision": None},
        {"truncate_dim": 13, "precision": "binary"},
        {"prompt": "query: "},
        {"prompt_name": "query"},
        {"prompt_name": "document", "device": "cpu"},
    ):
        assert np.abs(original.encode(TEXTS, **options) - ours.encode(TEXTS, **options)).max() < 1e-4
        assert np.abs(original.encode("a", **options) - ours.encode("a", **options)).max() < 1e-4
    for method in ("get_embedding_dimension", "get_max_seq_length", "get_model_kwargs", "get_backend"):
        assert getattr(original, method)() == getattr(ours, method)()
    for name in ("prompts", "default_prompt_name", "similarity_fn_name", "max_seq_length", "truncate_dim", "modalities"):
        assert getattr(original, name) == getattr(ours, name), name
    for method in ("encode_query", "encode_document"):
        assert np.abs(getattr(original, method)(TEXTS) - getattr(ours, method)(TEXTS)).max() < 1e-4
    theirs = original.tokenize(TEXTS)
    for name, values in ours.tokenize(TEXTS).items():
        assert theirs[name].tolist() == values.tolist()


def test_similarities_are_the_librarys(original, embedder):
    torch = pytest.importorskip("torch")
    ours = SentenceTransformer(embedder)
    a, b = np.random.default_rng(3).standard_normal((2, 5, 12)).astype(np.float32)
    try:
        for name in ("cosine", "dot", "euclidean", "manhattan"):
            ours.similarity_fn_name = original.similarity_fn_name = name
            for x, y in ((a, b), (a[0], b), (list(a), b), (torch.from_numpy(a), torch.from_numpy(b))):
                found = ours.similarity(x, y)
                assert np.allclose(np.asarray(found), original.similarity(x, y).numpy(), atol=1e-4)
            assert isinstance(found, torch.Tensor)
            for x, y in ((a, b), (a[0], b[0]), (torch.from_numpy(a), torch.from_numpy(b))):
                assert np.allclose(np.asarray(ours.similarity_pairwise(x, y)), original.similarity_pairwise(x, y).numpy(), atol=1e-4)
    finally:
        original.similarity_fn_name = None


@pytest.mark.parametrize(
    "prompts", [{"query": "query: ", "passage": "passage: "}, {"document": "d "}, {"corpus": "c ", "x": "y "}]
)
@pytest.mark.parametrize("default", [None, "x"])
def test_prompts_are_the_librarys(original, embedder, prompts, default):
    library = pytest.importorskip("sentence_transformers")
    prompts = {**prompts, "x": "y "}
    theirs = library.SentenceTransformer(
        "models/all-MiniLM-L6-v2", device="cpu", prompts=prompts, default_prompt_name=default
    )
    ours = SentenceTransformer(embedder, prompts=prompts, default_prompt_name=default)
    assert theirs.prompts == ours.prompts
    for method in ("encode", "encode_query", "encode_document"):
        for options in ({}, {"prompt": ""}, {"prompt": "p "}, {"prompt_name": "x"}, {"prompt_name": "query"}):
            found = getattr(ours, method)("a horse", **options)
            assert np.abs(getattr(theirs, method)("a horse", **options) - found).max() < 1e-4, (method, options)


@pytest.mark.parametrize("given", [{"a": "x"}, {"a", "b"}, None, 3, b"a", [b"a"], [None], [1]], ids=str)
def test_what_the_library_refuses_is_refused(original, embedder, given):
    with pytest.raises(Exception):  # noqa: B017  Whatever it raises.
        original.encode(given)
    with pytest.raises(TypeError):
        SentenceTransformer(embedder).encode(given)
