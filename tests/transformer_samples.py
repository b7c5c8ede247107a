"""Small vision transformers as exporters write them: patches, class token, attention, GELU."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIZE, PATCH, WIDTH, HEADS, BLOCKS = 32, 8, 24, 3, 2
TOKENS = (SIZE // PATCH) ** 2 + 1


class _Writer:
    """Collects nodes and seeded constants."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weights(self, *shape):
        fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(fan_in))

    def node(self, kind, *inputs, name=None, **attributes):
        out = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def dense(self, x, inner, outer):
        product = self.node("MatMul", x, self.weights(inner, outer))
        return self.node("Add", product, self.constant(0.1 * self.rng.standard_normal(outer)))

    def norm(self, x, fused):
        """Layer normalisation: one operator, or the eight of exporters before operator set 17."""
        scale = self.constant(1 + 0.1 * self.rng.standard_normal(WIDTH))
        shift = self.constant(0.1 * self.rng.standard_normal(WIDTH))
        if fused:
            return self.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-6)
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        square = self.node("Pow", centred, self.constant(2.0))
        variance = self.node("ReduceMean", square, axes=[-1])
        deviation = self.node("Sqrt", self.node("Add", variance, self.constant(1e-6)))
        scaled = self.node("Mul", self.node("Div", centred, deviation), scale)
        return self.node("Add", scaled, shift)

    def attention(self, x):
        width = WIDTH // HEADS
        qkv = self.dense(x, WIDTH, 3 * WIDTH)
        shape = self.constant([0, TOKENS, 3, HEADS, width], np.int64)
        split = self.node("Transpose", self.node("Reshape", qkv, shape), perm=[2, 0, 3, 1, 4])
        q, k, v = (self.node("Gather", split, self.constant(n, np.int64), axis=0) for n in range(3))
        k = self.node("Transpose", k, perm=[0, 1, 3, 2])
        scaled = self.node("Mul", self.node("MatMul", q, k), self.constant(width**-0.5))
        mixed = self.node("MatMul", self.node("Softmax", scaled, axis=-1), v)
        joined = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        shape = self.constant([0, TOKENS, WIDTH], np.int64)
        return self.dense(self.node("Reshape", joined, shape), WIDTH, WIDTH)

    def gelu(self, x, quick):
        if quick:  # CLIP's: x * sigmoid(1.702 x)
            return self.node(
                "Mul", x, self.node("Sigmoid", self.node("Mul", x, self.constant(1.702)))
            )
        erf = self.node("Erf", self.node("Div", x, self.constant(np.sqrt(2.0))))
        return self.node(
            "Mul",
            self.node("Mul", x, self.node("Add", erf, self.constant(1.0))),
            self.constant(0.5),
        )


def transformer(*, clip=False, output="tokens", seed=0):
    """Return a model: ViT's (normalisations fused, GELU), or CLIP's (neither, and a projection).

    Its tensors `tokens` (N, TOKENS, WIDTH), `class_token` (N, WIDTH) and, of CLIP, `embedding`;
    the one called `output` is what it gives.
    """
    w = _Writer(seed)
    patches = w.node(
        "Conv", "image", w.weights(WIDTH, 3, PATCH, PATCH), strides=[PATCH] * 2, name="patches"
    )
    flat = w.node("Reshape", patches, w.constant([0, WIDTH, -1], np.int64))
    patch_tokens = w.node("Transpose", flat, perm=[0, 2, 1])
    # The class token, once for each image of the batch.
    batch = w.node("Gather", w.node("Shape", "image"), w.constant([0], np.int64), axis=0)
    shape = w.node("Concat", batch, w.constant([1, WIDTH], np.int64), axis=0)
    token = w.node("Expand", w.constant(w.rng.standard_normal((1, 1, WIDTH))), shape)
    x = w.node("Concat", token, patch_tokens, axis=1)
    x = w.node("Add", x, w.constant(0.2 * w.rng.standard_normal((1, TOKENS, WIDTH))))
    if clip:
        x = w.norm(x, fused=False)
    for _ in range(BLOCKS):
        x = w.node("Add", x, w.attention(w.norm(x, fused=not clip)))
        inner = w.gelu(w.dense(w.norm(x, fused=not clip), WIDTH, 4 * WIDTH), quick=clip)
        x = w.node("Add", x, w.dense(inner, 4 * WIDTH, WIDTH))
    tokens = w.node("Identity", w.norm(x, fused=not clip), name="tokens")
    token = w.node("Gather", tokens, w.constant(0, np.int64), axis=1, name="class_token")
    if clip:
        w.node("MatMul", token, w.weights(WIDTH, 16), name="embedding")
    widths = {"tokens": [TOKENS, WIDTH], "class_token": [WIDTH], "embedding": [16]}
    graph = helper.make_graph(
        w.nodes,
        "transformer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *widths[output]])],
        w.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
