"""Open the model of the active slot; where it does not prove itself, that of the other one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import (
    EngineError,
    EngineMismatchError,
    GasedgeError,
    InputError,
    IntegrityError,
    NotKeptError,
)
from contract.signing import trusted_bundle
from edge_runtime.model import ModelOpener, open_model
from edge_runtime.slots.store import now_utc, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.signing import Trust
    from edge_runtime.config import ModelConfig
    from edge_runtime.model import RunningModel
    from edge_runtime.slots.config import UpdateConfig
    from edge_runtime.slots.state import SlotName, Slots
    from edge_runtime.slots.store import SlotStore

__all__ = ["SlotOpener"]

_log = logging.getLogger(__name__)

_ITS_OWN_FAULT = (EngineError, InputError, IntegrityError)  # a fault of the model, not of the rest


class SlotOpener(Closing):
    """Opens the active slot's model each time it is called; one per frames process.

    Args:
        store: the slots.
        update: limits.
        trust: what may run, the slots' counter included, asked anew each time; raises when nobody
            can say.
    """

    def __init__(self, store: SlotStore, update: UpdateConfig, trust: Callable[[], Trust]) -> None:
        self._store, self._update, self._trust = store, update, trust
        self._opener = ModelOpener(trust)
        self._counted = False

    def __call__(self, config: ModelConfig) -> RunningModel:
        """Open it; a start on trial is counted before anything of the model is touched.

        Raises:
            InputError: while no model was ever applied.
            GasedgeError: what opening raises, where there is no other model to go back to.
        """
        slots = self._begun()
        if slots.active is None:
            settled(config)  # says so
            return self(config)  # one came meanwhile
        self._trust()  # its failure is no fault of the model
        try:
            return self._opened(config, slots, slots.active, self._opener)
        except EngineMismatchError:  # its engine is being built anew
            raise
        except _ITS_OWN_FAULT as error:
            if self._opener.is_building or slots.other is None:
                raise
            return self._gone_back(config, slots, slots.other, error)

    def opened(self, config: ModelConfig, slot: SlotName) -> RunningModel:
        """Open the model of any slot, whose engine was built just now.

        Raises:
            GasedgeError: when it cannot be opened or does not prove itself.
        """
        slots = self._store.read()
        return self._opened(config, slots, slot, self._once)

    def close(self) -> None:
        """End a build that is under way."""
        self._opener.close()

    def ended(self) -> None:
        """The process was asked to end, which makes its start no bad one."""
        if not self._counted:
            return
        try:
            self._store.change(lambda slots: slots.ended())
        except GasedgeError as error:
            _log.warning("the end of a start on trial is not noted: %s", error)

    def failed(self, why: str, manifest: str) -> None:
        """The backend failed with a model: if it is on trial, the next process takes the other."""

        def rule(slots: Slots) -> Slots:
            goes = slots.is_on_trial and slots.other is not None and slots.runs(manifest)
            return slots.rolled_back(why, at=now_utc()) if goes else slots

        try:
            slots = self._store.change(rule)
        except GasedgeError as error:
            _log.error("the slots cannot be changed, the start counts instead: %s", error)
            return
        _log.warning("%s runs from the next start on", slots.running)

    def _begun(self) -> Slots:
        if self._counted:
            return self._store.read()
        try:
            slots = self._store.change(
                lambda s: s.begun(most=self._update.crash_starts, at=now_utc())
            )
        except NotKeptError as error:  # a full disk must not blind the plant
            _log.error("a start on trial is not counted: %s", error)
            return self._store.read()
        self._counted = True
        return slots

    def _once(self, config: ModelConfig) -> RunningModel:
        return open_model(config, trusted_bundle(config.bundle, self._trust()))

    def _opened(
        self,
        config: ModelConfig,
        slots: Slots,
        slot: SlotName,
        opener: Callable[[ModelConfig], RunningModel],
    ) -> RunningModel:
        facts = slots.slots.get(slot)
        if facts is None:
            raise InputError(f"{self._store.folder / slot}: is empty")
        model = opener(self._store.model(config, slot, facts.engine))
        found = model.manifest_sha256
        if found != facts.manifest_sha256:
            model.close()
            raise IntegrityError(
                f"{self._store.folder / slot}: holds manifest {found[:12]}.., not "
                f"{facts.manifest_sha256[:12]}.. that was applied; apply it anew"
            )
        return model

    def _gone_back(
        self, config: ModelConfig, slots: Slots, other: SlotName, error: GasedgeError
    ) -> RunningModel:
        _log.error("%s does not prove itself: %s; trying the other slot", slots.running, error)
        try:
            model = self._opened(config, slots, other, self._once)
        except GasedgeError as second:
            _log.error("nor does %s: %s", slots.slots[other], second)
            raise error from second
        try:
            self._store.change(
                lambda s: s.rolled_back(str(error), at=now_utc()) if s.active != other else s
            )
        except NotKeptError as refused:  # it runs all the same
            _log.error("that the other slot runs now is not kept: %s", refused)
        except BaseException:
            model.close()
            raise
        return model
