"""Summaries, long documents, streams."""

import datetime
import json
import subprocess

import pytest
from conftest import ROOT, results_together

import remuda

TEXT = (
    "This program watches the directories that it is given and copies every file that changes to another machine over an "
    "encrypted connection. It keeps older versions for as long as there is room for them."
)
OTHER = "A library for reading and writing images in many formats, with functions to resize and to rotate them."


def test_a_text_and_texts(summarizer):
    one = summarizer.summarize_text(TEXT)
    assert one and one == summarizer.summarize_text(TEXT)
    assert summarizer.summarize_texts([TEXT, OTHER])[0] == one
    with summarizer.acquire() as instance:
        assert summarizer.summarize_text(TEXT, instance) == one
        assert instance.model_type == "summarization"
    assert summarizer.summarize_texts([]) == []
    assert summarizer.summarize_text("  ") == ""
    assert summarizer.get_pool_stats()["in_use"] == 0


def test_what_is_known_of_a_summary(summarizer):
    (summary,) = summarizer.summarize([TEXT], num_beams=4, num_return_sequences=2)
    assert summary.text == summary.best.text
    assert summary.output_tokens == len(summary.best.ids)
    assert summary.best.score > summary.others[0].score
    assert summary.best.complete
    assert 30 < summary.input_tokens == summary.used_tokens
    assert not summary.truncated
    assert summary.text in repr(summary)
    assert summarizer.summarize([TEXT], max_input_tokens=10)[0].truncated


def test_options_have_the_names_of_transformers(summarizer):
    short = summarizer.summarize([TEXT], max_new_tokens=2, min_length=0, num_beams=1)[0]
    assert short.output_tokens <= 3
    drawn = [summarizer.summarize_text(TEXT, do_sample=True, num_beams=1, seed=seed, temperature=1.5) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    never = summarizer.summarize([TEXT], early_stopping="never", num_beams=2, bad_words_ids=[[5, 6]], eos_token_id=[2])
    assert never[0].text
    assert summarizer.summarize_text(TEXT, num_beams=remuda.Unset) == summarizer.summarize_text(TEXT)


def test_none_switches_an_option_of_the_models_files_off(summarizer):
    generation = summarizer.info["generation"]
    assert generation["num_beams"] > 1 and "max_length" in generation, "or this would show nothing"
    plain = summarizer.summarize([TEXT], num_beams=1)[0].best
    assert summarizer.summarize([TEXT], num_beams=None)[0].best.ids == plain.ids
    unset = summarizer.summarize([TEXT], max_length=remuda.Unset, num_beams=1)[0].best
    assert unset.ids == plain.ids
    endless = summarizer.summarize([TEXT], eos_token_id=None, forced_eos_token_id=None, min_length=None, num_beams=1,
                                   max_length=30)[0]  # fmt: skip
    assert endless.output_tokens == 30
    assert not remuda.Unset and repr(remuda.Unset) == "remuda.Unset"


def test_calls_of_many_threads_are_decoded_together():
    settings = remuda.get_settings()
    settings.model_pool_max_instances = 1
    manager = remuda.SummarizationModelManager(settings)
    texts = [f"{OTHER} Version {i}." for i in range(16)]
    together = results_together(manager, manager.summarize_text, texts)
    with manager.acquire() as instance:
        assert together == [manager.summarize_text(text, instance) for text in texts]


def test_long_documents(summarizer):
    text = "\n\n".join([TEXT, OTHER] * 30)
    result = summarizer.summarize_long(text, part_tokens=64)
    assert result.text
    assert len(result.parts) > 1
    assert result.parts[0].begin == 0
    assert result.parts[-1].end == len(text.encode())
    assert result.summary.input_tokens >= 1000
    assert result.merges >= 1 or not result.merged


def test_a_stream_is_the_summary_in_pieces(summarizer):
    pieces = list(summarizer.stream(TEXT, num_beams=1))
    assert len(pieces) > 1
    assert "".join(pieces) == summarizer.summarize_text(TEXT, num_beams=1)


def test_a_stream_that_is_closed_ends_the_work(summarizer):
    stream = summarizer.stream(TEXT, num_beams=1, min_new_tokens=60, max_new_tokens=64)
    assert next(stream)
    stream.close()
    assert summarizer.get_pool_stats()["in_use"] == 0


def test_errors_of_a_stream_are_raised_where_it_is_read(summarizer):
    with pytest.raises(TypeError, match="num_beam:"):
        list(summarizer.stream(TEXT, num_beam=3))
    with pytest.raises(TypeError, match="text: expected a str"):
        summarizer.stream(None)


def test_a_deadline_while_it_generates(summarizer):
    texts = [TEXT + OTHER * 10] * 30
    with pytest.raises(TimeoutError):
        summarizer.summarize(texts, timeout=datetime.timedelta(milliseconds=30))
    partial = summarizer.summarize(texts, timeout=0.05, partial=True)
    assert len(partial) == 30
    assert not all(summary.best.complete for summary in partial)
    assert summarizer.get_pool_stats()["in_use"] == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.summarize_text(None), TypeError, "text: expected a str"),
        (lambda m: m.summarize_texts(TEXT), TypeError, "use summarize_text"),
        (lambda m: m.summarize_texts([TEXT, 3]), TypeError, r"text\[1\]: expected a str"),
        (lambda m: m.summarize_long(3), TypeError, "expected a str"),
        (lambda m: m.summarize_text(TEXT, beams=4), TypeError, "beams: not an option of a summary; the options are num_beams"),
        (lambda m: m.summarize_text(TEXT, num_beams="4"), TypeError, "num_beams: expected a whole number"),
        (lambda m: m.summarize_text(TEXT, num_beams=0), ValueError, "num_beams"),
        (lambda m: m.summarize_text(TEXT, num_beams=2**80), ValueError, "num_beams"),
        (lambda m: m.summarize_text(TEXT, do_sample=1), TypeError, "do_sample: expected True or False"),
        (lambda m: m.summarize_text(TEXT, temperature="hot"), TypeError, "temperature: expected a number"),
        (lambda m: m.summarize_text(TEXT, early_stopping="sometimes"), TypeError, "early_stopping"),
        (lambda m: m.summarize_text(TEXT, bad_words_ids=[1]), TypeError, "bad_words_ids"),
        (lambda m: m.summarize_text(TEXT, eos_token_id=-1), ValueError, "eos_token_id"),
        (lambda m: m.summarize_text(TEXT, timeout=float("nan")), ValueError, "timeout"),
        (lambda m: m.summarize_text(TEXT, 5), TypeError, "instance: expected"),
    ],
)
def test_bad_input(summarizer, call, error, message):
    with pytest.raises(error, match=message):
        call(summarizer)


def test_the_model_is_described(summarizer):
    info = summarizer.info
    assert info["architecture"] == "bart"
    assert info["encoder_intermediate_size"] > 0 and info["decoder_intermediate_size"] > 0
    assert info["generation"]["decoder_start_token_id"] >= 0 and info["generation"]["eos_token_id"]
    assert summarizer.model_name == "remuda/bart-small-synopsis"
    assert "bart-small-synopsis" in repr(summarizer)
    assert isinstance(summarizer, remuda.Leasing)


@pytest.mark.parametrize("kind", ["embedder", "summarizer"])
def test_the_model_is_described_as_the_command_line_does(kind, request):
    manager = request.getfixturevalue(kind)
    ran = subprocess.run(
        [ROOT / "build/release/remuda", "inspect", "--json", manager.model_name], capture_output=True, text=True, check=True
    )

    def without_what_changes(said):
        """The memory that is free now, and how much fits into it."""
        assert said["memory_limit"] > 0
        costs = {**said["precisions"]}
        for name, cost in costs.items():
            assert cost["instances_that_fit"] > 0
            costs[name] = {**cost, "instances_that_fit": 1}
        return {**said, "memory_limit": 1, "precisions": costs}

    said, info = without_what_changes(json.loads(ran.stdout)), without_what_changes(manager.info)
    assert {name: info[name] for name in said} == said


def test_the_checkpoints_own_options_are_told(summarizer):
    assert summarizer.info["generation"]["num_beams"] >= 1
