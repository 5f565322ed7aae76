"""What the documents show is run; `tests/test_documents.py` does it, and `pages.py` says how."""
