"""Container images: a Dockerfile for each kind of engine, and what runs inside."""

from pilotage.ship.images.bases import Base, ImageEngine, check_digest, load_bases
from pilotage.ship.images.commands import (
    Builder,
    build_command,
    content_of_wheels,
    find_builder,
    image_name,
    login_line,
    push_commands,
    run,
    shown,
    tag_of,
    wheel_command,
)
from pilotage.ship.images.container import container_spec, environment, image_engine
from pilotage.ship.images.dockerfile import DOCKERIGNORE, dockerfile
from pilotage.ship.images.image import ImageFiles, render_image
from pilotage.ship.images.resolve import resolve_digest

__all__ = [
    "DOCKERIGNORE",
    "Base",
    "Builder",
    "ImageEngine",
    "ImageFiles",
    "build_command",
    "check_digest",
    "container_spec",
    "content_of_wheels",
    "dockerfile",
    "environment",
    "find_builder",
    "image_engine",
    "image_name",
    "load_bases",
    "login_line",
    "push_commands",
    "render_image",
    "resolve_digest",
    "run",
    "shown",
    "tag_of",
    "wheel_command",
]
