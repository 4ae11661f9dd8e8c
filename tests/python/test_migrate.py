"""python -m remuda.migrate: what it rewrites, and what it leaves and says so."""

import ast
import pathlib

import pytest

pytest.importorskip("libcst")

from remuda.migrate import main, migrate_source  # noqa: E402

SIMPLE = '''"""A service."""
import os
from app.models import ModelManager, other

manager = ModelManager.get_instance()


def search(query):
    return manager.get_embedding(query)  # A comment.


def report(texts):
    return [ModelManager().summarize(t, max_length=100) for t in texts]
'''


def test_calls_imports_and_the_instance():
    changed, findings = migrate_source(SIMPLE)
    assert findings.calls == 2 and not findings.left
    assert changed == '''"""A service."""
import os
from app.models import other
from remuda import EmbeddingModelManager, SummarizationModelManager, get_settings

embedder = EmbeddingModelManager(get_settings())
summarizer = SummarizationModelManager(get_settings())


def search(query):
    return embedder.embed_text(query)  # A comment.


def report(texts):
    return [summarizer.summarize_text(t, max_length=100) for t in texts]
'''
    assert migrate_source(changed) == (changed, migrate_source(changed)[1])  # Nothing more to do.


def test_what_it_cannot_do_stays_and_is_named():
    source = SIMPLE + "\nmodel, tokenizer = ModelManager.get_summarization_model()\nuse(manager)\n"
    changed, findings = migrate_source(source)
    ast.parse(changed)
    assert "manager = ModelManager.get_instance()" in changed
    assert "from app.models import ModelManager, other" in changed
    assert "embedder.embed_text(query)" in changed
    assert [line for line, _ in findings.left] == [15, 16]
    assert "summarize_text" in findings.left[0][1]


@pytest.mark.parametrize(
    "source",
    [
        "class ModelManager:\n    _instance = None\n",
        "from app import ModelManager as Manager\n",
        "class A:\n    def __init__(self):\n        self.m = ModelManager()\n",
        "def f():\n    return ModelManager.instance()\n",
        "x = ModelManager().nonsense()\n",
    ],
)
def test_things_to_do_by_hand(source):
    changed, findings = migrate_source(source)
    assert changed == source
    assert len(findings.left) == 1


def test_code_that_has_nothing_to_do_with_it():
    for source in ("", "x = 1\n", "manager.encode(texts)\n", "import os\r\nprint(1)\r\n"):
        assert migrate_source(source)[0] == source


def test_the_command(tmp_path, capsys):
    file = tmp_path / "service.py"
    file.write_text(SIMPLE)
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "+    return embedder.embed_text(query)" in shown.out
    assert "would rewrite 2 calls" in shown.err
    assert file.read_text() == SIMPLE
    assert main([str(file), "--write"]) == 0
    assert file.read_text() == migrate_source(SIMPLE)[0]
    capsys.readouterr()
    (tmp_path / "broken.py").write_text("def (:\n")
    assert main([str(tmp_path)]) == 1
    assert "broken.py" in capsys.readouterr().err
    assert main([str(pathlib.Path(tmp_path / "none.py"))]) == 1
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2


def test_another_class():
    changed, _ = migrate_source("from app import Models\nprint(Models.shared().encode(['a']))\n", "Models")
    assert "print(embedder.encode(['a']))" in changed
