"""Everything the chat API depends on and pays for: the language model and three partners' APIs."""
