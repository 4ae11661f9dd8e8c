"""A small BART whose encoder and embeddings start as all-MiniLM-L6-v2, its decoder as layers 0, 2 and 5 of it.

BART's encoder layer is BERT's (post-norm, exact gelu, learned positions), so the encoder gives MiniLM's hidden states
from the start, but for the epsilon of the layer norms (BERT 1e-12, BART 1e-5).
"""
import torch
from transformers import BartConfig, BartForConditionalGeneration, BertModel

DECODER_FROM = (0, 2, 5)
POSITION_OFFSET = 2  # BartLearnedPositionalEmbedding keeps position i in row i + 2.
PAD, BOS, EOS = 0, 101, 102  # [PAD], [CLS] and [SEP] of the WordPiece vocabulary.


def config_from_bert(bert, decoder_layers=len(DECODER_FROM)):
    """BART's configuration of the shape of a BERT configuration."""
    return BartConfig(
        vocab_size=bert.vocab_size, d_model=bert.hidden_size, max_position_embeddings=bert.max_position_embeddings,
        encoder_layers=bert.num_hidden_layers, encoder_attention_heads=bert.num_attention_heads,
        encoder_ffn_dim=bert.intermediate_size, decoder_layers=decoder_layers,
        decoder_attention_heads=bert.num_attention_heads, decoder_ffn_dim=bert.intermediate_size,
        activation_function="gelu", dropout=0.1, attention_dropout=0.0, activation_dropout=0.0, scale_embedding=False,
        tie_word_embeddings=True, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, decoder_start_token_id=BOS,
        forced_bos_token_id=None, forced_eos_token_id=EOS)


def _copy(to, source):
    to.weight.copy_(source.weight)
    to.bias.copy_(source.bias)


def _copy_attention(to, attention):
    source = attention.self
    for name, projection in (("q_proj", source.query), ("k_proj", source.key), ("v_proj", source.value)):
        _copy(getattr(to, name), projection)
    _copy(to.out_proj, attention.output.dense)


def _copy_layer(to, source):
    _copy_attention(to.self_attn, source.attention)
    _copy(to.self_attn_layer_norm, source.attention.output.LayerNorm)
    _copy(to.fc1, source.intermediate.dense)
    _copy(to.fc2, source.output.dense)
    _copy(to.final_layer_norm, source.output.LayerNorm)


@torch.no_grad()
def bart_from_bert(bert, decoder_from=DECODER_FROM):
    """A BART whose encoder computes what `bert` (a BertModel) computes for token type 0."""
    model = BartForConditionalGeneration(config_from_bert(bert.config, len(decoder_from)))
    embeddings = bert.embeddings
    positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    model.model.shared.weight.copy_(embeddings.word_embeddings.weight)
    for part in (model.model.encoder, model.model.decoder):
        part.embed_positions.weight.zero_()
        part.embed_positions.weight[POSITION_OFFSET:].copy_(positions)
        _copy(part.layernorm_embedding, embeddings.LayerNorm)
    for to, source in zip(model.model.encoder.layers, bert.encoder.layer, strict=True):
        _copy_layer(to, source)
    for to, index in zip(model.model.decoder.layers, decoder_from, strict=True):
        source = bert.encoder.layer[index]
        _copy_layer(to, source)
        _copy_attention(to.encoder_attn, source.attention)
        _copy(to.encoder_attn_layer_norm, source.attention.output.LayerNorm)
    model.tie_weights()
    return model


def start(encoder_directory):
    """The model before training, from a Hugging Face directory of a BERT encoder."""
    return bart_from_bert(BertModel.from_pretrained(encoder_directory, add_pooling_layer=False, dtype=torch.float32))
