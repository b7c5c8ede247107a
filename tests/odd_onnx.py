"""Odd ONNX files: what people bring, small, seeded, and what becomes of each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from odd_model import OddModel
from onnx import TensorProto, helper, numpy_helper
from transformer_samples import transformer

FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
SIDES = (12, 16)
RNG = np.random.default_rng(1)
KERNEL = RNG.standard_normal((5, 3, 3, 3)).astype(np.float32)
DENSE = RNG.standard_normal((5, 4)).astype(np.float32)

Nodes = list[onnx.NodeProto]


def node(kind: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


# A convolution, `map`; its average, `out`.
PLAIN = [node("Conv", "image k", "map"), node("GlobalAveragePool", "map", "pooled")]
PLAIN += [node("Flatten", "pooled", "out")]


def network(
    nodes: Nodes,
    *,
    images: tuple = (("image", FLOAT, ["N", 3, *SIDES]),),
    outputs: tuple = (("out", FLOAT, ["N", 5]),),
    opset: int = 17,
    **constants: np.ndarray,
) -> onnx.ModelProto:
    """Return a network of these nodes; `k` is a kernel of 3 x 3 from 3 to 5 channels."""
    constants.setdefault("k", KERNEL)
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info(*each) for each in images],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("of.ours", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def saved(make: Callable[[], onnx.ModelProto]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        onnx.save(make(), folder / "net.onnx")
        return folder / "net.onnx"

    return write


def plain(**options: object) -> Callable[[Path], Path]:
    return saved(lambda: network(PLAIN, **options))


def channels_last(kind: int = FLOAT, sides: tuple = (*SIDES, 3)) -> Callable[[Path], Path]:
    nodes = [] if kind == FLOAT else [node("Cast", "image", "floats", to=FLOAT)]
    source = "floats" if nodes else "image"
    nodes += [node("Transpose", source, "first", perm=[0, 3, 1, 2])]
    nodes += [node("Conv", "first k", "map"), *PLAIN[1:]]
    return saved(lambda: network(nodes, images=(("image", kind, ["N", *sides]),)))


def half() -> onnx.ModelProto:
    images, outputs = (("image", HALF, ["N", 3, *SIDES]),), (("out", HALF, ["N", 5]),)
    return network(PLAIN, images=images, outputs=outputs, k=KERNEL.astype(np.float16))


def with_data(name: str) -> Callable[[Path], Path]:
    """Write a network whose kernel lies in another file."""

    def write(folder: Path) -> Path:
        (folder / "model").mkdir()
        model = network(PLAIN)
        kernel = model.graph.initializer[0]
        (folder / "model" / name).write_bytes(kernel.raw_data)
        onnx.external_data_helper.set_external_data(kernel, name)
        kernel.ClearField("raw_data")
        kernel.data_location = TensorProto.EXTERNAL
        (folder / "model" / "net.onnx").write_bytes(model.SerializeToString())
        return folder / "model" / "net.onnx"

    return write


ONE = {"images": (("image", FLOAT, [1, 3, *SIDES]),), "outputs": (("out", FLOAT, [1, 5]),)}


def of_one_image(*shape: int) -> Callable[[Path], Path]:
    """Write a network whose batch is fixed to 1; also by a reshape to `shape`, if one is given."""
    if not shape:
        return plain(**ONE)
    last = [node("Reshape", "pooled shape", "rows")]
    last += [node("Transpose", "rows", "out", perm=[1, 0] if shape[0] != 1 else [0, 1])]
    return plain_but([*PLAIN[:-1], *last], shape=np.array(shape), **ONE)


def one_class_token() -> onnx.ModelProto:
    """A class token that is a constant of one image, before tokens of which there is one row."""
    nodes = [PLAIN[0], node("Reshape", "map shape", "rows")]
    nodes += [node("Transpose", "rows", "tokens", perm=[0, 2, 1])]
    nodes += [node("Concat", "token tokens", "all", axis=1)]
    nodes += [node("ReduceMean", "all", "out", axes=[1], keepdims=0)]
    token = RNG.standard_normal((1, 1, 5)).astype(np.float32)
    return network(nodes, shape=np.array([1, 5, 140]), token=token, **ONE)


def constants_as_nodes() -> onnx.ModelProto:
    """Constants that nodes stand for, the axes of a mean over positions among them."""
    axes = helper.make_node("Constant", [], ["axes"], value_ints=[1, 2])
    kernel = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(KERNEL))
    nodes = [kernel, PLAIN[0], node("Transpose", "map", "last", perm=[0, 2, 3, 1])]
    nodes += [axes, node("ReduceMean", "last axes", "out", keepdims=0)]
    model = network(nodes, opset=18)
    del model.graph.initializer[:]
    return model


def plain_but(nodes: Nodes, **options: object) -> Callable[[Path], Path]:
    return saved(lambda: network(nodes, **options))


def classifier(last: str) -> Callable[[Path], Path]:
    nodes = [node("Conv", "image k", "map"), node("GlobalAveragePool", "map", "averaged")]
    nodes += [node("Flatten", "averaged", "pooled"), node("MatMul", "pooled w", "logits")]
    nodes += [node(last, "logits", "out")]
    return plain_but(nodes, outputs=(("out", FLOAT, ["N", 4]),), w=DENSE)


def old() -> onnx.ModelProto:
    """Operator set 9 and the third version of the format, whose constants are inputs too."""
    model = network(PLAIN, opset=9, images=(("image", FLOAT, ["N", 3, *SIDES]), kernel_input()))
    model.ir_version = 3
    return model


def kernel_input() -> tuple:
    return ("k", FLOAT, list(KERNEL.shape))


def quantised() -> onnx.ModelProto:
    """A convolution of integers, as other tools quantise."""
    scale = np.float32(np.abs(KERNEL).max() / 127)
    integers = np.round(KERNEL / scale).astype(np.int8)
    nodes = [node("DequantizeLinear", "q s z", "k8"), node("Conv", "image k8", "map"), *PLAIN[1:]]
    return network(nodes, q=integers, s=scale, z=np.int8(0))


def branching() -> onnx.ModelProto:
    """A graph within the graph: If, as exporters write of Python's."""
    bodies = {}
    for branch, kind in (("then_branch", "Relu"), ("else_branch", "Neg")):
        out = helper.make_tensor_value_info(f"{branch}_out", FLOAT, None)
        body = helper.make_graph([node(kind, "map", f"{branch}_out")], branch, [], [out])
        bodies[branch] = body
    nodes = [PLAIN[0], helper.make_node("If", ["yes"], ["chosen"], **bodies)]
    nodes += [node("GlobalAveragePool", "chosen", "pooled"), PLAIN[-1]]
    return network(nodes, yes=np.array(True))


MEAN = [node("ReduceMean", "image", "mean", axes=[0]), node("Sub", "image mean", "centred")]
TWO = (("image", FLOAT, ["N", 3, *SIDES]), ("other", FLOAT, ["N", 3, *SIDES]))
OPEN = (("image", FLOAT, ["N", 3, "H", "W"]),)
BOTH = (("out", FLOAT, ["N", 5]), ("map", FLOAT, ["N", 5, 10, 14]))

ODD_ONNX = (
    OddModel("channels last", "images (N, H, W, 3)", channels_last()),
    OddModel("channels first", "images (N, 3, H, W)", plain()),
    OddModel("float16", "float16 from its images to its output", saved(half), tolerance=3e-3),
    OddModel("bytes", "images of uint8 (N, H, W, 3)", channels_last(BYTE)),
    OddModel("open sizes", "height and width left open", plain(images=OPEN), size=SIDES),
    OddModel(
        "open sizes, channels too",
        "all four axes left open, as Hugging Face's exporter does",
        plain(images=(("image", FLOAT, ["batch", "num_channels", "height", "width"]),)),
        size=SIDES,
    ),
    OddModel(
        "open sizes, channels last",
        "the same, and channels last",
        channels_last(sides=("A", "B", "C")),
        size=SIDES,
    ),
    OddModel(
        "open sizes, none given",
        "the same without a size",
        plain(images=OPEN),
        said="does not say the size of its images; give one, as size 224",
    ),
    OddModel(
        "another size",
        "a network of 12 x 16 pixels, asked for 32 x 32",
        plain(),
        size=(32, 32),
        said="takes images of 12 x 16 pixels alone; leave the size out",
    ),
    OddModel(
        "output of unknown width",
        "how many values it gives is left open: found by a run",
        plain(outputs=(("out", FLOAT, ["N", "D"]),)),
    ),
    OddModel("one image", "the batch fixed to 1", of_one_image()),
    OddModel("one image by its arithmetic", "the same, by a reshape to (1, 5)", of_one_image(1, 5)),
    OddModel("one image, flattened", "the same, by a reshape to (1, -1)", of_one_image(1, -1)),
    OddModel("one image, class token", "the same, by a token of one row", saved(one_class_token)),
    OddModel(
        "one image, inside out",
        "the same, by a reshape to (5, 1) and a transposition",
        of_one_image(5, 1),
        said="export it with a free batch dimension",
    ),
    OddModel("constants as nodes", "no weights of the graph itself", saved(constants_as_nodes)),
    OddModel("external data", "weights in a file of any name beside it", with_data("big.bin")),
    OddModel(
        "external data elsewhere",
        "weights in a file outside its folder",
        with_data("../big.bin"),
        said="keeps weights in other files, which is refused; give one file that holds them all",
    ),
    OddModel("inner tensor", "cut at a map inside, flattened", plain(), layer="map"),
    OddModel("inner tensor, pooled", "the same, averaged", plain(), layer="map", pool="avg"),
    OddModel(
        "no such layer",
        "cut at a tensor that it has not",
        plain(),
        layer="fc7",
        said="the network has no output 'fc7'; it has: out",
    ),
    OddModel(
        "softmax at its end",
        "a classifier's probabilities are taken, and what lies before is named",
        classifier("Softmax"),
        remark="which gives 4 probabilities; layer pooled would give the 5 values before",
    ),
    OddModel("before the softmax", "the same at that layer", classifier("Softmax"), layer="pooled"),
    OddModel(
        "tokens",
        "ViT: patches, class token, attention, GELU; all tokens are flattened, with a warning",
        saved(transformer),
        remark="17 tokens of 24 values, which are flattened to 408; average them by pool avg",
    ),
    OddModel("tokens, averaged", "the same", saved(transformer), pool="avg"),
    OddModel("class token", "the same, by its name", saved(transformer), layer="class_token"),
    OddModel(
        "CLIP",
        "CLIP's image tower: normalisations in pieces, QuickGELU, a projection",
        saved(lambda: transformer(clip=True, output="embedding")),
        preprocessing="clip",
        remark="layer class_token would give the 24 values before",
    ),
    OddModel("operator set 9", "format 3, whose constants are inputs as well", saved(old)),
    OddModel("dequantised weights", "int8 weights of another tool", saved(quantised)),
    OddModel("a branch", "a graph within the graph (If)", saved(branching)),
    OddModel(
        "random numbers",
        "draws noise at each run",
        plain_but([node("RandomNormalLike", "image", "noise", scale=0.01),
                   node("Add", "image noise", "noisy"), node("Conv", "noisy k", "map"),
                   *PLAIN[1:]]),
        said="it draws random numbers; export it for inference",
    ),
    OddModel(
        "mixed batch",
        "subtracts the mean of the images that run together",
        plain_but([*MEAN, node("Conv", "centred k", "map"), *PLAIN[1:]]),
        said="gives an image other features beside other images than alone",
    ),
    OddModel(
        "training mode",
        "batch normalisation by the batch's own statistics",
        plain_but(
            [PLAIN[0], node("BatchNormalization", "map a b c d", "n e f", training_mode=1),
             node("GlobalAveragePool", "n", "pooled"), PLAIN[-1]],
            a=np.ones(5, np.float32), b=np.zeros(5, np.float32),
            c=np.zeros(5, np.float32), d=np.ones(5, np.float32),
        ),
        said="export it for inference",
    ),
    OddModel(
        "not a number",
        "NaN among its weights",
        plain(k=np.full_like(KERNEL, np.nan)),
        said="gives no finite features (NaN or infinity) for any image; look at its weights",
    ),
    OddModel(
        "nothing but zeros",
        "weights that were never filled",
        plain(k=np.zeros_like(KERNEL)),
        said="gives nothing but zeros for any image; look at its weights",
    ),
    OddModel(
        "two inputs",
        "takes two images",
        plain_but([node("Add", "image other", "sum"), node("Conv", "sum k", "map"), *PLAIN[1:]],
                  images=TWO),
        said="not one batch of RGB images",
    ),
    OddModel(
        "two outputs",
        "gives a vector and a map",
        plain(outputs=BOTH),
        said="the network has several outputs; choose one as layer: out or map",
    ),
    OddModel("one of two outputs", "the same, one chosen", plain(outputs=BOTH), layer="out"),
    OddModel(
        "grey images",
        "takes one channel",
        plain(images=(("image", FLOAT, ["N", 1, *SIDES]),), k=KERNEL[:, :1]),
        said="not one batch of RGB images",
    ),
    OddModel(
        "a class number",
        "ends in ArgMax",
        plain_but([*PLAIN[:-1], node("Flatten", "pooled", "f"),
                   node("ArgMax", "f", "out", axis=1)],
                  outputs=(("out", TensorProto.INT64, ["N", 1]),)),
        said="is of int64, not of float",
    ),
    OddModel(
        "an operator of its own",
        "an operator that only its maker's runtime has",
        plain_but([helper.make_node("Ours", ["image"], ["out"], domain="of.ours")]),
        said="ONNX Runtime does not take the network",
    ),
    OddModel(
        "no ONNX",
        "a text file",
        lambda folder: written(folder / "net.onnx", b"not a network"),
        said="is not a valid ONNX file",
    ),
)  # fmt: skip


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
