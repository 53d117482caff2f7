"""The configuration of a pre-training run: frozen parts, each beside the code that it configures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from texneg.datasets.cache import Cache
from texneg.errors import InputError
from texneg.train.data.augmentations import Augmentation, MocoV2
from texneg.train.data.reading import Reading
from texneg.train.data.sources import Choice, choose_loader
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.run import Run
from texneg.train.methods import Config, moco
from texneg.train.negatives import NegativePass, Negatives, Patch
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Objective
from texneg.train.options import to_plain, to_settings


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run. A run folder belongs to one configuration, of which `run` alone may change."""

    recipe: str = "custom"
    seed: int = 0
    """Seed of weights, image order, views and negatives."""
    reading: Reading = Reading()
    views: Augmentation = MocoV2()
    negatives: Negatives = Negatives.of(Patch())
    negative_pass: NegativePass = NegativePass()
    method: Config = moco.Config()
    objective: Objective = Objective()
    network: Architecture = Architecture()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()

    @property
    def title(self) -> str:
        """The negatives in words, with their weight."""
        if not self.negatives.kinds:
            return "baseline"
        return f"{self.negatives.title} α={self.objective.loss.alpha:g}"

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result but the seed, as JSON has it.

        Without negatives their weight means nothing and is 0, so that runs that are the same look the same.
        The policy for damaged images is there only where it is not the usual one, as are `later` fields.
        """
        objective = self.objective.plain()
        if not self.negatives.kinds:
            objective["loss"] |= {"alpha": 0.0} if "alpha" in objective["loss"] else {}
            objective.pop("centring", None)
        reading = {"reading": to_settings(self.reading)} if self.reading != Reading() else {}
        saved = to_settings(self.negative_pass) if self.negatives.kinds else {}
        return {
            **reading,
            "views": self.views.plain(),
            "negatives": self.negatives.plain(),
            **({"negative_pass": saved} if saved else {}),
            "method": to_plain(self.method),
            "objective": objective,
            "network": to_settings(self.network),
            "optimisation": to_settings(self.optimisation),
        }

    def identity(self) -> dict[str, Any]:
        """Everything that may not change when a run goes on."""
        return {"recipe": self.recipe, "seed": self.seed, "settings": self.settings()}

    def baseline(self) -> "PretrainConfig":
        """Return the same run without non-semantic negatives."""
        return replace(self, negatives=Negatives())

    def check(self, *, world: int = 1) -> None:
        """Refuse what cannot train, before anything is opened.

        Args:
            world: number of processes.

        Raises:
            InputError: naming the flag and what it may be.
        """
        batch = self.optimisation.batch
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"--seed {self.seed}: 0 to 2^64 - 1")
        self.run.check()
        self.views.check()
        self.optimisation.check(world)
        self.method.check(self.network, batch)
        if self.optimisation.accumulate > 1:
            self.method.check_parts(self.optimisation.accumulate, batch)
        self.network.check(batch // self.optimisation.accumulate, world)
        self.negatives.check(self.views.image_size)
        self.negative_pass.check(
            self.views.image_size,
            centred=bool(self.negatives.kinds) and self.objective.centring.centre != "none",
        )
        self.objective.check(self.method.negatives(batch), self.method.name)
        self.objective.centring.check(self.optimisation.accumulate, batch)
        self.check_loader()
        if (self.objective.selection.exclude == "group") != bool(self.run.groups):
            raise InputError(
                "--exclude group and --groups FILE belong together: one says that, the other by what"
            )
        loss, method = self.objective.loss, self.method
        if not (loss.negatives_needed or method.predicts):
            raise InputError(
                f"--loss {loss.name} has no ordinary negatives and --method {method.name} no predictor: all"
                " embeddings would become the same; use another --loss, or --method byol"
            )

    def check_loader(self) -> None:
        """Refuse a loader that lacks what it needs, or that cannot make what the run trains on."""
        if self.choose_loader().loader != "device":
            return
        if self.negatives.kinds and not self.negatives.on_device:
            raise InputError(
                f"--loader device: negatives of kind {self.negatives.title} are made on the CPU; use --loader"
                " memory"
            )
        if self.views.operators != "compiled":
            raise InputError(
                f"--loader device: --operators {self.views.operators} needs the CPU; use --loader memory"
            )

    def choose_loader(self) -> Choice:
        """Choose the loader of the run."""
        return choose_loader(self.run.loader, cache=self.run.cache, resident=self.optimisation.resident)

    def read_from(self, cache: Cache | None) -> "PretrainConfig":
        """Return the configuration with what a cache decides of the results.

        Raises:
            InputError: flags ask for other images than the cache holds.
        """
        given = self.optimisation.resident, self.reading.jpeg
        if cache is None:
            if given[1] is not None:
                raise InputError(f"--jpeg {given[1]}: belongs to a --cache of format jpeg; leave it out")
            return self
        held = cache.recipe.side, cache.recipe.quality or None
        for flag, asked, is_there in zip(("--resident", "--jpeg"), given, held, strict=True):
            if asked not in (None, is_there):
                raise InputError(
                    f"{flag} {asked}: --cache {self.run.cache} has {flag} {is_there}; give that, or make"
                    " another cache"
                )
        return self.read_with(*held)

    def read_as(self, settings: Mapping[str, Any]) -> "PretrainConfig":
        """Return the configuration with what the cache of a run with these settings decided.

        Flags that ask for something else stay, so that they are seen to differ.
        """
        resident = settings.get("optimisation", {}).get("resident")
        jpeg = settings.get("reading", {}).get("jpeg")
        return self.read_with(self.optimisation.resident or resident, self.reading.jpeg or jpeg)

    def read_with(self, resident: int | None, jpeg: int | None) -> "PretrainConfig":
        """Return the configuration with images of this side, from JPEG files of this quality."""
        return replace(
            self,
            optimisation=replace(self.optimisation, resident=resident),
            reading=replace(self.reading, jpeg=jpeg),
        )

    def warnings(self, *, world: int = 1) -> list[str]:
        """Warn of what can be trained and hardly makes sense, in so many processes."""
        found = self.objective.warnings(nonsemantic=bool(self.negatives.kinds))
        found += self.optimisation.warnings()
        if self.network.bn == "split" and world == 1 and self.network.bn_group == self.optimisation.batch:
            found.append(
                f"--bn-group {self.network.bn_group}: one group, in which shuffling keys changes no"
                " statistic; use a divisor of the batch to hide them"
            )
        return found

    def check_images(self, n: int) -> str:
        """Refuse a data set of n images that does not fit; return a warning, or nothing.

        Raises:
            InputError: naming a batch or a queue that fits.
        """
        batch = self.optimisation.batch
        if n < batch:
            raise InputError(f"--batch {batch} > data set size {n}: use a smaller batch or more images")
        return self.method.check_images(n, batch)
