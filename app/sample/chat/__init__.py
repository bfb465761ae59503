"""The chat API to assess: answers from a paid model behind a cache, orders booked at three partners."""
