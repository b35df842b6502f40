"""HTTP: routes hold no logic, middleware is plain ASGI, every failure has OpenAI's error shape."""
