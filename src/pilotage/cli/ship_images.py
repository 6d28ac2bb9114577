"""``pilotage ship images``: the image of a deployment, pinned, built and pushed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.ship_arguments import (
    DeploymentOption,
    JsonOption,
    PlanOption,
    SpecArgument,
    TargetOption,
    shipped,
)
from pilotage.cli.ship_screen import errors, output, print_json
from pilotage.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from pilotage.ship.images import ImageFiles


def images(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to.", show_default="ship/NAME-image"
        ),
    ] = None,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Ask the base's registry for its digest, and pin it.")
    ] = False,
    digest: Annotated[
        str | None,
        typer.Option(metavar="SHA256:…", help="Pin the base to this digest.", show_default=False),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build it here; needs docker or podman, and wheels/.")
    ] = False,
    push: Annotated[bool, typer.Option("--push", help="Push it, once it is built.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the Dockerfile, print the commands that build and push it, and run them if asked to."""
    from pilotage.ship.images import (  # noqa: PLC0415
        content_of_wheels,
        image_engine,
        load_bases,
        render_image,
        resolve_digest,
    )
    from pilotage.ship.lifecycle.folder import write_folder  # noqa: PLC0415

    if resolve and digest is not None:
        raise UsageError("contradict each other", where="--resolve and --digest")
    shipment = shipped(spec, deployment, target, plan).shipment
    base = load_bases()[image_engine(shipment)]
    pinned = resolve_digest(base) if resolve else digest
    name = shipment.deployment.name
    # A folder of its own: what `render` wrote stays as it was rendered.
    where = folder or Path("ship") / f"{name}-image"
    # Other wheels are another image, which needs another tag.
    wheels = content_of_wheels(where / "image" / "wheels")
    image = render_image(shipment, digest=pinned, wheels=wheels)
    if image is None:
        raise UsageError(
            "names an image that exists: there is none to build",
            where="shipping.image.uri",
            hint="Leave it out to build one",
        )
    write_folder(where, image.files, deployment=name)
    if as_json:
        print_json(
            {
                "image": image.name,
                "base": base.name,
                "digest": pinned or base.digest,
                "folder": str(where),
                "commands": image.commands,
                "warnings": image.warnings,
            }
        )
    else:
        for line in (f"cd {where}", *image.commands):
            output().print(line, markup=False)
        for warning in image.warnings:
            errors().print(f"Careful: {warning}", markup=False)
    if build or push:
        _run(image, where, build=build, push=push)


def _run(image: ImageFiles, where: Path, *, build: bool, push: bool) -> None:
    from pilotage.ship.images import (  # noqa: PLC0415
        build_command,
        find_builder,
        push_commands,
        run,
    )

    builder = find_builder()
    if builder.program is None:
        raise ResourceError(
            f"nothing here builds images: {builder.problem}",
            hint="Run the printed commands where docker or podman answers",
        )
    context = where / "image"
    if build:
        if not (context / "wheels").is_dir():
            raise UsageError(
                "there are no wheels to install from",
                where=str(context / "wheels"),
                hint=f"Run the first of the commands: {image.commands[0]}",
            )
        run(build_command(image.name, context, program=builder.program))
    if push:
        for command in push_commands(image.name, program=builder.program):
            run(command)
