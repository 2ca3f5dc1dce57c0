"""Builds the HTTP app over a service: the routes, the error handlers and, outermost, the gate. A page mounts itself on it later."""

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from mlx_harmony.api import caches_route, chat_route, files_route, loading_route, metrics_route, models_route, reading_route, standing_route
from mlx_harmony.api.errors import on_harmony_error, on_http_exception, on_unexpected
from mlx_harmony.api.gate import Gate
from mlx_harmony.api.line import Pace
from mlx_harmony.api.passing import Passing
from mlx_harmony.api.policy import METHODS, Policy
from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service


class GatedApp(FastAPI):
    """A FastAPI whose gate is outside everything, also of what is mounted or added after it was built.

    A page that adds HTML to its head by script says so in `app.state.page_head`, or its inline scripts will not run.
    """

    policy: Policy

    def build_middleware_stack(self) -> ASGIApp:
        return Gate(super().build_middleware_stack(), self.policy, getattr(self.state, "page_head", ""))


def create_app(service: Service, *, policy: Policy | None = None, pace: Pace = Pace()) -> FastAPI:  # noqa: B008
    """The app for this service. Raises SettingsError where its settings would let strangers in.

    `policy` None: the one that follows from the service's settings.
    """
    app = GatedApp(title="MLX Harmony", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.policy = policy or Policy.of(service.settings)
    app.state.service = service
    app.state.pace = pace
    app.state.passing = Passing(service.settings.home)
    app.add_exception_handler(HarmonyError, on_harmony_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_unexpected)
    app.add_api_route("/health", health, methods=sorted(METHODS), include_in_schema=False)
    app.add_api_route("/metrics", metrics_route.metrics, methods=sorted(METHODS), include_in_schema=False)
    # Mounted whole, so that an unknown address or method below /v1 is answered here and not by the page, which is mounted on "/".
    app.router.routes.append(Mount("/v1", app=_openai()))
    app.router.routes.append(Mount("/files/caches", app=_caches()))
    app.router.routes.append(Mount("/files", app=files_route.router))
    return app


async def health(request: Request) -> Response:
    """Whether the server lives; it asks nothing of the models."""
    if request.method not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"allow": "GET, HEAD"})
    return JSONResponse({"status": "ok"})


def _caches() -> APIRouter:
    router = APIRouter(redirect_slashes=False)
    router.include_router(caches_route.router)
    router.include_router(reading_route.router)
    return router


def _openai() -> APIRouter:
    router = APIRouter(redirect_slashes=False)
    router.include_router(chat_route.router)
    router.include_router(standing_route.router)
    # Before the models, whose ids may hold slashes.
    router.include_router(loading_route.router)
    router.include_router(models_route.router)
    return router
