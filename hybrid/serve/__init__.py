"""A server for trained heads: OpenAI's API, a page to play with, and the answer forming step by step."""
