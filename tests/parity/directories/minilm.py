"""all-MiniLM-L6-v2 as it is published, and with single keys changed."""
import json
import os
import pathlib
import shutil

from directories import case

ROOT = pathlib.Path(__file__).resolve().parents[3]
MINILM = pathlib.Path(os.environ.get("REMUDA_MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2"


def copy_tokenizer(directory, **config):
    """MiniLM's tokenizer files; `config` goes over tokenizer_config.json, None takes a key away."""
    for name in ("config.json", "tokenizer.json", "vocab.txt", "special_tokens_map.json"):
        if (MINILM / name).exists():
            shutil.copy(MINILM / name, directory / name)
    merged = json.loads((MINILM / "tokenizer_config.json").read_text()) | config
    (directory / "tokenizer_config.json").write_text(
        json.dumps({key: value for key, value in merged.items() if value is not None}))


@case("embed", "minilm/as published")
def published(directory):
    shutil.copytree(MINILM, directory, dirs_exist_ok=True)


@case("tokenize", "minilm/tokenizer as published")
def tokenizer(directory):
    copy_tokenizer(directory)
