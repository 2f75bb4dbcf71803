# SPDX-License-Identifier: GPL-2.0-or-later
"""What --kernel may be: a name, an image, the tree in which a kernel was built, or Debian's packages of one."""
from pathlib import Path

from ..base.catalogue import did_you_mean
from ..base.errors import BadInput
from ..base.paths import KERNEL_FRAGMENT
from . import debian_kernel, image, kernel, make, modules
from .cache import Cache, sha256_text
from .debian_kernel import Kernel

MADE = {"": kernel.reference, "variants": kernel.variants, "debug": kernel.debug}
NAMES = ("debian", "debian:6.12", *filter(None, MADE))
ADVICE = f"a bzImage, the tree where one was built, linux-image-*.deb, or a name: {', '.join(NAMES)}"
IMAGES = ("arch/x86/boot/bzImage", "bzImage")  # in the tree of a build, or where "kernel build --output" copies it


def check(name: str, build: bool = False) -> None:
    """Refuses what is no kernel, before anything long starts. With `build`, it must be a tree that can make one."""
    path = Path(name)
    if build:
        _check_source(name)
    elif name in MADE or debian_kernel.is_name(name):
        pass
    elif path.is_dir():
        image.check_kernel(_image_in(path))
        _has_modules(path, _options_of(path))
    elif debian_kernel.is_package(path):
        debian_kernel.with_parts(path)
    elif not path.exists():
        raise BadInput(f"--kernel {name}: neither a file nor a name{did_you_mean(name, NAMES)}: give {ADVICE}")
    else:
        image.check_kernel(path)


def find(cache: Cache, name: str, build: bool = False) -> Kernel:
    """The files of the kernel. Those with a name are made or downloaded if necessary, others made with `build`."""
    if build:
        _make(cache, Path(name).absolute())
    if name in MADE:
        made = MADE[name](cache)
        return Kernel(made, options=_options_of(made.parent, "config"))
    if debian_kernel.is_name(name):
        return debian_kernel.from_archive(cache, name)
    path = Path(name).absolute()
    if path.is_dir():
        options = _options_of(path)
        return Kernel(_image_in(path), path if _has_modules(path, options) else None, options)
    if debian_kernel.is_package(path):
        return debian_kernel.from_packages(cache, path)
    return Kernel(path)


def _check_source(name: str) -> None:
    tree = Path(name)
    if not name or not (tree / "Makefile").is_file():
        raise BadInput(f"--build needs the tree of a kernel: give --kernel DIR, {name or 'nothing'} has no Makefile")
    if not (tree / ".config").is_file():
        raise BadInput(f"--build: no .config in {tree}: run 'make defconfig' there, then "
                       f"'scripts/kconfig/merge_config.sh .config {KERNEL_FRAGMENT}'")


def _make(cache: Cache, tree: Path) -> None:
    """Runs make in the user's tree, where options that are new to its .config take their defaults."""
    log = cache.directory("log") / f"kernel-{sha256_text(str(tree))[:8]}"
    log.unlink(missing_ok=True)
    words = ["make", *make.programs_of_environment()]
    make.must([*words, "olddefconfig"], log, tree, "configuration")
    has_modules = "m" in kernel.options((tree / ".config").read_text()).values()
    make.compile_kernel([*words, make.JOBS, "bzImage", *(["modules"] if has_modules else [])], log, tree)


def _image_in(tree: Path) -> Path:
    found = next((tree / name for name in IMAGES if (tree / name).is_file()), None)
    if found is None:
        raise BadInput(f"kernel {tree}: no {IMAGES[0]} in it: run 'make bzImage' there, or give a kernel image")
    return found


def _options_of(tree: Path, name: str = ".config") -> dict[str, str]:
    config = tree / name
    return kernel.options(config.read_text(errors="replace")) if config.is_file() else {}


def _has_modules(tree: Path, options: dict[str, str]) -> bool:
    """Whether anything that we load is a module by the tree's .config. What SNP needs must be there."""
    if not options:
        return False
    wanted = modules.not_built_in(modules.FOR_SNP, options)
    missing = sorted({*wanted} - {*modules.files(tree)}) if wanted else []
    if missing:
        raise BadInput(f"kernel {tree}: {' and '.join(missing)} should be a module by its .config, but is not there: "
                       "run 'make modules'")
    return bool(modules.not_built_in(modules.OPTIONS, options))
