"""Images on their way through a network: how far they have come, and what is seen on the way.

The first tensors of a network are its largest: 13 MB of an image in VGG16, half a gigabyte of 40.
So what is looked at is looked at image by image, where it is made. Images are kept at a place only
if all that is needed from there on fits a limit; else they start again from the last such place,
which costs little, for what is large is early.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx

from engine.factorization.float_model import FloatModel
from engine.graphs import walk
from engine.graphs.session import available_cores, memory_errors

# What the tensors of all images may take at a place where they are kept.
_KEPT_BYTES = 160 * 2**20


class Front:
    """Images on their way through a network, from place to place.

    nodes: the network's; those from `place` on may be replaced. tensors: from which all from there
    on can be computed, images on the first axis.
    """

    def __init__(self, model: FloatModel, pixels: np.ndarray, limit: int = _KEPT_BYTES) -> None:
        """Start with pixels, uint8 (N, H, W, 3). limit: bytes of tensors that are kept."""
        self._model, self._limit = model, limit
        self._constants: list[onnx.TensorProto] = []
        self.nodes = model.nodes
        self.tensors = {"images": pixels}
        self.place = 0

    @property
    def images(self) -> int:
        """How many there are."""
        return len(next(iter(self.tensors.values())))

    def here(self) -> "Front":
        """Return the same images, which stay where these are now."""
        return copy.copy(self)

    def look(self, place: int, name: str, see: Callable[[int, np.ndarray], None]) -> None:
        """Show a tensor of each image as it is before the node at `place`.

        see: takes the number of an image, and the tensor without the axis of images; on several
            threads at once. The images are kept at `place` if that fits.
        """
        count = self.images
        if name in self.tensors:
            for number in range(count):
                see(number, self.tensors[name][number])
            return
        nodes = self.nodes[self.place : place]
        later = {each for node in self.nodes[place:] for each in node.input} | self._model.ends
        made = [each for node in nodes for each in node.output if each in later]
        outputs = [name, *(each for each in made if each != name)]
        read = {each for node in nodes for each in node.input}
        inputs = {each: array for each, array in self.tensors.items() if each in read}
        runner = self._model.part(nodes, inputs, outputs, self._constants)

        def run(number: int, wanted: Sequence[str]) -> list[np.ndarray]:
            feeds = {each: array[number : number + 1] for each, array in inputs.items()}
            with memory_errors():
                return list(runner.run(list(wanted), feeds))

        first = run(0, outputs)
        sizes = dict(zip(outputs, first, strict=True))
        carried = {each: array for each, array in self.tensors.items() if each in later}
        needed = sum(array.nbytes for array in carried.values())
        needed += count * sum(sizes[each].nbytes for each in made)
        kept = {}
        if needed <= self._limit:
            kept = {e: np.empty((count, *sizes[e].shape[1:]), sizes[e].dtype) for e in made}

        def pass_by(number: int) -> None:
            values = first if number == 0 else run(number, outputs if kept else outputs[:1])
            for each, value in zip(outputs, values, strict=False):
                if each in kept:
                    kept[each][number] = value[0]
            see(number, values[0][0])

        with ThreadPoolExecutor(available_cores()) as pool:
            list(pool.map(pass_by, range(count)))
        if kept:
            self.tensors, self.place = {**carried, **kept}, place

    def replace(
        self, place: int, by: tuple[Sequence[onnx.NodeProto], Sequence[onnx.TensorProto]]
    ) -> None:
        """Put other nodes in the place of one that the images have not come to, and constants."""
        nodes, constants = by
        self.nodes[place : place + 1] = nodes
        self._constants += constants

    def finish(self, changed: dict[str, np.ndarray] | None = None) -> np.ndarray:
        """Return the network's output for all images, as if `changed` were among their tensors."""
        tensors = {**self.tensors, **(changed or {})}
        (end,) = self._model.ends
        if end in tensors:
            return tensors[end]
        nodes = walk.needed(self.nodes[self.place :], [end])
        read = {each for node in nodes for each in node.input}
        inputs = {each: array for each, array in tensors.items() if each in read}
        runner = self._model.part(nodes, inputs, [end], self._constants)

        def run(number: int) -> np.ndarray:
            feeds = {each: array[number : number + 1] for each, array in inputs.items()}
            with memory_errors():
                return np.asarray(runner.run([end], feeds)[0])

        with ThreadPoolExecutor(available_cores()) as pool:
            return np.concatenate(list(pool.map(run, range(len(next(iter(inputs.values())))))))
