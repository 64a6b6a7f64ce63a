"""Run by an interpreter that has tensorflow-serving-api: our bytes and the generated messages' are each other's, both ways."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from kale_serve_lab.inference import dtypes, tensors
from kale_serve_lab.inference.grpc import tensorflow as ours

SPEC = ours.ModelSpec("m", 2**40, "serving_default")


def filled(rng, dtype, shape):
    count = int(np.prod(shape))
    if dtype == "BYTES":
        found = np.empty(count, dtype=object)
        found[:] = [["", "a", "日本", "x" * 300][i] for i in rng.integers(0, 4, count)]
        return found.reshape(shape)
    if dtype == "BOOL":
        return rng.integers(0, 2, count).astype(bool).reshape(shape)
    name, width = dtypes.NUMPY[dtype]
    return np.frombuffer(rng.bytes(count * width), dtype=name).reshape(shape)


def texts(values):
    return np.array([v.decode() for v in values.ravel()], dtype=object).reshape(values.shape)


def typed(values, dtype, shape):
    """The typed fields in place of tensor_content."""
    proto = tf.make_tensor_proto(values, dtype=dtype, shape=shape)
    if proto.tensor_content:
        proto.ClearField("tensor_content")
        flat = values.ravel()
        if dtype == tf.float16:
            proto.half_val.extend(flat.view("uint16").tolist())
        else:
            field = {
                tf.float32: proto.float_val, tf.float64: proto.double_val, tf.int64: proto.int64_val, tf.bool: proto.bool_val,
                tf.uint32: proto.uint32_val, tf.uint64: proto.uint64_val,
            }.get(dtype, proto.int_val)  # fmt: skip
            field.extend(flat.tolist())
    return proto


def main():
    rng, cases = np.random.default_rng(0), 0
    for dtype in dtypes.ALL:
        for shape in [(), (1,), (0,), (7,), (3, 4), (2, 1, 5), (2, 0, 3), (300, 40)]:
            values = filled(rng, dtype, shape)
            tensor = tensors.from_array("x", values)
            if dtype == "BYTES" and not values.size:
                tensor = tensors.Tensor("x", "BYTES", shape, values)
            read = predict_pb2.PredictRequest.FromString(ours.encode_request(SPEC, [tensor], ["p"]))
            assert (read.model_spec.name, read.model_spec.version.value) == ("m", 2**40)
            assert (read.model_spec.signature_name, list(read.output_filter)) == ("serving_default", ["p"])
            found = tf.make_ndarray(read.inputs["x"])
            found = texts(found) if dtype == "BYTES" else found
            assert found.shape == shape
            assert found.tolist() == values.tolist() or found.tobytes() == values.tobytes()

            kind = tf.string if dtype == "BYTES" else tf.dtypes.as_dtype(dtypes.NUMPY[dtype][0])
            given = (
                np.array([v.encode() for v in values.ravel()], dtype=object).reshape(shape)
                if dtype == "BYTES"
                else values
            )
            protos = [tf.make_tensor_proto(given, dtype=kind, shape=shape)]
            if dtype != "BYTES" and values.size:
                protos.append(typed(values, kind, shape))
            for proto in protos:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "m"
                request.inputs["x"].CopyFrom(proto)
                spec, asked = ours.decode_request(request.SerializeToString())
                assert spec == ours.ModelSpec("m")
                got = asked.inputs[0].array
                assert got.shape == shape
                # A signalling NaN does not survive the Python float that a typed field is filled by.
                assert np.array_equal(got, values, equal_nan=values.dtype.kind == "f"), dtype
            answer = predict_pb2.PredictResponse.FromString(ours.encode_response(SPEC, [tensor]))
            back = ours.decode_response(answer.SerializeToString())
            assert (back.model_name, back.model_version) == ("m", str(2**40))
            got = back.outputs[0].array
            assert got.tolist() == values.tolist() or got.tobytes() == values.tobytes()
            cases += 1

    def info(name, kind, *shape):
        return meta_graph_pb2.TensorInfo(name=name, dtype=kind, tensor_shape=tf.TensorShape(shape).as_proto())

    listed = get_model_metadata_pb2.SignatureDefMap()
    signature = listed.signature_def["serving_default"]
    signature.inputs["dense_input"].CopyFrom(info("serving_default_dense_input:0", 1, None, 4))
    signature.inputs["city"].CopyFrom(info("c:0", 7, None))
    signature.outputs["output_0"].CopyFrom(info("StatefulPartitionedCall:0", 1, None, 3))
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = 7
    response.metadata["signature_def"].Pack(listed)
    spec, signatures = ours.decode_metadata(response.SerializeToString())
    found = ours.chosen(signatures)
    assert [(one.name, one.dtype, one.shape) for one in found.inputs] == [
        ("city", "BYTES", (-1,)),
        ("dense_input", "FP32", (-1, 4)),
    ]
    assert ours.as_json(spec, signatures)["outputs"] == [
        {"name": "output_0", "datatype": "FP32", "shape": [-1, 3]}
    ]
    asked = get_model_metadata_pb2.GetModelMetadataRequest.FromString(
        ours.encode_metadata_request(ours.ModelSpec("m"))
    )
    assert (asked.model_spec.name, list(asked.metadata_field)) == ("m", ["signature_def"])
    assert not asked.model_spec.HasField("version")

    status = get_model_status_pb2.GetModelStatusResponse()
    status.model_version_status.add(version=7, state=30)
    status.model_version_status.add(version=8, state=20)
    assert ours.decode_status(status.SerializeToString()) == {7: ours.AVAILABLE, 8: 20}
    assert (
        get_model_status_pb2.GetModelStatusRequest.FromString(
            ours.encode_status_request(SPEC)
        ).model_spec.name
        == "m"
    )
    print(cases, "cases")


main()
