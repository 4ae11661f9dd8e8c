"""remuda under the interfaces of other libraries. Each module needs its library, and nothing else does.

- `remuda.integrations.langchain`: ``RemudaEmbeddings``, a LangChain ``Embeddings`` (langchain-core)
- `remuda.integrations.llama_index`: ``RemudaEmbedding``, a LlamaIndex ``BaseEmbedding`` (llama-index-core)
- `remuda.integrations.sentence_transformers`: ``SentenceTransformer``, for code that expects that class (nothing needed)
- `remuda.integrations.sklearn`: ``TextEmbedder``, a scikit-learn transformer (scikit-learn)
"""
