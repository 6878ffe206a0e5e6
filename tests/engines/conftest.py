"""A real server for all tests of endpoints: llama-cpp-python's own, on the built-in solvers, over loopback."""

import importlib.util
import threading
import time
import warnings

import pytest

from edgesearch import catalog

_MODULES = ("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")


@pytest.fixture(scope="session")
def real_url():
    """Its address; it knows the models nano and nano-large, and loads whichever is asked for.

    nano-telling is nano with log-probabilities, which this server gives only of a model that was loaded for them.
    """
    if any(importlib.util.find_spec(name) is None for name in _MODULES):
        pytest.skip("needs llama-cpp-python[server]")
    with warnings.catch_warnings():  # its own, of the packages that it uses
        warnings.simplefilter("ignore")
        import uvicorn
        from llama_cpp.server.app import create_app
        from llama_cpp.server.settings import ModelSettings, ServerSettings

        models = [
            ModelSettings(
                model=str(catalog.solver(name).path),
                model_alias=alias,
                n_ctx=512,
                verbose=False,
                logits_all=alias == "nano-telling",
            )
            for alias, name in (("nano", "nano"), ("nano-large", "nano-large"), ("nano-telling", "nano"))
        ]
        app = create_app(server_settings=ServerSettings(), model_settings=models)
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join(30)
