"""Network pickles are read as data: sound ones in full, hostile ones not at all, and nothing in either is run."""

import builtins
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from nvidia_pickles import Call, Elsewhere, Imported, Raw, array, body, module, pickled, snapshot, tensor, write

from pumpgan.train import inert_pickle
from pumpgan.train.nvidia_pickle import read_nvidia_pickle

TENSORS = {
    "mapping.fc0.weight": torch.randn(3, 4),
    "mapping.w_avg": torch.randn(3),
    "synthesis.b4.conv1.noise_strength": torch.tensor(0.5),
    "synthesis.b4.torgb.weight": torch.randn(2, 3, 1, 1).half(),
    "synthesis.b4.empty": torch.empty(0, 3),
}
REMEMBER, TAKE_FIRST = b"\x94", b"h\x00"
ARGUMENTS = {"z_dim": 4, "mapping_kwargs": {"num_layers": 2}, "rate": 0.01}


def sound() -> dict:
    network = module(TENSORS, ARGUMENTS, "Generator", buffers=("w_avg",))
    return snapshot(network, module({"b4.out.bias": torch.ones(1)}, {}), network, {"path": "x.zip", "xflip": False})


@pytest.fixture
def no_execution(monkeypatch):
    """Whatever would run a command or code says so instead."""

    def ran(*arguments, **keywords):
        pytest.fail(f"executed {arguments}")

    for owner, name in (
        (os, "system"), (os, "remove"), (subprocess, "Popen"), (subprocess, "check_output"),
        (builtins, "eval"), (builtins, "print"), (torch, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, ran)


def refused(tmp_path, content: bytes, match: str) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as raised:
        read_nvidia_pickle(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


# Sound -------------------------------------------------------------------------------------------------------


def test_networks_come_with_their_arguments_and_tensors(tmp_path, no_execution):
    found = read_nvidia_pickle(write(tmp_path / "a.pkl", sound()))
    for network in (found.generator, found.averaged):
        assert network.arguments == ARGUMENTS and network.tensors.keys() == TENSORS.keys()
        for name, value in TENSORS.items():
            found_value = network.tensors[name]
            assert found_value.dtype == value.dtype and torch.equal(found_value, value)
    assert found.discriminator.tensors["b4.out.bias"].item() == 1
    assert found.training_set == {"path": "x.zip", "xflip": False}


def test_tensors_that_share_an_array_are_views_of_it(tmp_path):
    stored = body(Call("torch.storage _load_from_bytes", (array(torch.arange(12.0)),)))
    part = Call("torch._utils _rebuild_tensor_v2", (Raw(stored + REMEMBER), 2, (2, 3), (6, 1), False, None))
    whole = Call("torch._utils _rebuild_tensor_v2", (Raw(TAKE_FIRST), 0, (12,), (1,), False, None))
    content = sound() | {"G": module({"part": part, "whole": whole})}
    found = read_nvidia_pickle(write(tmp_path / "a.pkl", content)).generator.tensors
    assert found["part"].tolist() == [[2, 3, 4], [8, 9, 10]] and found["whole"].tolist() == list(range(12))
    found["whole"][2] = -1
    assert found["part"][0, 0] == -1


# Hostile -----------------------------------------------------------------------------------------------------

RUN = ("echo executed > executed",)
NAMES = {
    "a command": Call("os system", RUN),
    "a command by its other name": Call("posix system", RUN),
    "a process": Call("subprocess Popen", (["touch", "executed"],)),
    "code": Call("builtins eval", ("print('executed')",)),
    "code of old": Call("__builtin__ eval", ("print('executed')",)),
    "an attribute": Call("builtins getattr", (Imported("os"), "system")),
    "a dotted name": Call("torch._utils _rebuild_tensor_v2.__globals__", ()),
    "a bound function": Call("functools partial", (Imported("os system"), "x")),
    "a raw object": Call("copyreg _reconstructor", (Imported("builtins object"), Imported("builtins object"), None)),
    "an import": Call("importlib import_module", ("os",)),
    "torch's loader": Call("torch load", ("x.pkl",)),
    "a torch script": Call("torch.jit load", ("x.pt",)),
    "a network of its own": Call("training.networks Generator", ()),
    "a TensorFlow network": Call("dnnlib.tflib.network Network", ()),
}


@pytest.mark.parametrize("what", NAMES)
def test_whatever_a_file_imports_beyond_the_short_list_is_refused_by_name(tmp_path, no_execution, what, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = NAMES[what].name.replace(" ", ".")
    inner = [value.name.replace(" ", ".") for value in NAMES[what].arguments if isinstance(value, Imported)]
    for content in (NAMES[what], sound() | {"extra": NAMES[what]}, sound() | {"G": {"_modules": NAMES[what]}}):
        refused(tmp_path, pickled(content), f"imports ({'|'.join([name, *inner])}), .*nothing was run")
    stacked = b"\x80\x04" + b"".join(body(part) for part in NAMES[what].name.split(" ", 1)) + b"\x93)R."
    refused(tmp_path, stacked, f"imports {name}, ")
    assert not (tmp_path / "executed").exists()


def test_the_tensorflow_version_s_files_are_sent_to_their_converter(tmp_path):
    refused(tmp_path, pickled((Call("dnnlib.tflib.network Network", ()),)), r"legacy\.py converts")


def test_a_hostile_pickle_inside_a_stored_array_is_refused_too(tmp_path, no_execution):
    hostile = pickled(Call("os system", RUN))
    good = array(torch.ones(2))
    magic, version, system = (pickled(v) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    for inner in (
        hostile,
        magic + hostile,
        magic + version + system + hostile,
        magic + version + system + pickled(Elsewhere(("storage", Call("os system", RUN), "7", "cpu", 2, None))),
        good.replace(pickled(["7"]), pickled([Call("os system", RUN)])),
    ):
        refused(tmp_path, pickled(Call("torch.storage _load_from_bytes", (inner,))), r"imports os\.system")
    zipped = b"PK\x03\x04" + bytes(100)  # torch's second form of file, which could unpack to more than it is
    refused(tmp_path, pickled(Call("torch.storage _load_from_bytes", (zipped,))), "cut short or damaged")


STATES = {
    "a dict": {"__setstate__": 1},
    "a list": [],
    "an imported function": Imported("collections OrderedDict"),
    "a module": module({}),
    "a tensor": tensor(torch.ones(1)),
}


@pytest.mark.parametrize("what", STATES)
@pytest.mark.parametrize("state", [{"__class__": 1}, (None, {"__defaults__": (1,), "__code__": b"x"})])
def test_the_state_of_nothing_but_a_number_s_type_is_set(tmp_path, no_execution, what, state):
    refused(tmp_path, b"\x80\x04" + body(STATES[what]) + body(state) + b"b.", "sets the state of")


INSTRUCTIONS = {
    "an instance": (b"(ios\nsystem\n.", "INST"),
    "an object": (b"(cos\nsystem\nX\x01\0\0\0xo.", "imports os.system"),
    "an object of what is allowed": (b"(ccollections\nOrderedDict\no.", "OBJ"),
    "an extension": (b"\x82\x01.", "EXT1"),
    "a persistent value": (b"\x80\x04X\x01\0\0\0xQ.", "BINPERSID"),
    "a persistent name": (b"Pname\n.", "PERSID"),
    "a keyword call": (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX"),
    "a call of a text": (b"\x80\x04X\x02\0\0\0os)R.", "calls a str"),
    "a call of a result": (b"\x80\x04ccollections\nOrderedDict\n)R)R.", "calls a dict"),
    "a call without arguments": (b"\x80\x04ccollections\nOrderedDict\nNR.", "with a NoneType"),
    "a buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "nothing to take": (b"\x80\x04R.", "damaged"),
    "nothing to tuple": (b"\x80\x04N\x87.", "damaged"),
    "no mark": (b"\x80\x04t.", "damaged"),
    "nothing remembered": (b"\x80\x04h\x09.", "damaged"),
    "no value": (b"\x80\x04.", "damaged"),
    "not a pickle": (b"\xff\xfe", "cut short or damaged"),
    "a text": (b"hello", "damaged"),
    "items for a tuple": (b"\x80\x04)(Ne.", "puts items into a tuple"),
    "half an item": (b"\x80\x04}(Nu.", "puts items into a dict"),
    "more bytes than there are": (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".", "cut short or damaged"),
    "a number without end": (b"\x80\x04I" + b"9" * 5000 + b"\n.", "cut short or damaged"),
    "a place far away": (b"\x80\x04Nr\xff\xff\xff\xff0.", "POP"),
    "another value": (pickled([1, 2]), "must hold the networks G, D, G_ema"),
    "other networks": (pickled({"G": 1, "D": 2, "G_ema": 3}), "must hold the networks"),
}


@pytest.mark.parametrize("what", INSTRUCTIONS)
def test_other_instructions_and_programs_without_sense_are_refused(tmp_path, no_execution, what):
    refused(tmp_path, *INSTRUCTIONS[what])


def test_values_nested_without_end_neither_crash_nor_hang(tmp_path, no_execution, monkeypatch):
    refused(tmp_path, b"\x80\x04}N" + b"\x85" * 200_000 + b"Ns.", "has a tuple as a key")  # hashing it would crash
    refused(tmp_path, b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".", "must hold the networks")
    monkeypatch.setattr(inert_pickle, "MOST_INSTRUCTIONS", 1000)
    refused(tmp_path, b"\x80\x04" + b"N" * 1001 + b".", "more than 1000 instructions")


def test_a_module_that_holds_itself_is_refused(tmp_path):
    network = Raw(body(module({}, modules=Raw(b"}" + REMEMBER))) + REMEMBER)  # its modules are number 0, itself is 1
    close = Raw(TAKE_FIRST + body("own") + b"h\x01s")
    refused(tmp_path, pickled(sound() | {"G": network, "close": close}), "more modules in G than a network has")


def test_modules_that_each_hold_the_next_twice_are_refused(tmp_path):
    levels: list = [Raw(body(module({})) + REMEMBER)]
    for level in range(14):
        below = Raw(b"h" + bytes([level]))
        levels.append(Raw(body(module({}, modules={"a": below, "b": below})) + REMEMBER))
    refused(tmp_path, pickled({"levels": levels} | sound() | {"D": Raw(b"h\x0e")}), "more modules in D")


def test_a_network_that_does_not_say_what_it_was_made_with_is_refused(tmp_path):
    for key, value in (("_init_args", (4,)), ("_init_kwargs", None), ("_buffers", None), ("_modules", {"a": 1})):
        network = module({})
        network.arguments[0]["state"][key] = value
        match = "does not say by name what D" if "init" in key else "lacks _buffers in D|has a int as D.a"
        refused(tmp_path, pickled(sound() | {"D": network}), match)


BROKEN_TENSORS = {
    "too few numbers": ((array(torch.ones(2)),), 0, (3,), (1,), "size \\(3,\\) in an array of 2"),
    "a part beyond the end": ((array(torch.ones(4)),), 2, (3,), (1,), "in an array of 4"),
    "a long stride": ((array(torch.ones(4)),), 0, (2,), (4,), "in an array of 4"),
    "a size of repeats": ((array(torch.ones(4)),), 0, (2**30,), (0,), "in an array of 4"),
    "a negative offset": ((array(torch.ones(4)),), -1, (2,), (1,), "of size"),
    "a negative stride": ((array(torch.ones(4)),), 3, (2,), (-1,), "of size"),
    "other strides": ((array(torch.ones(4)),), 0, (2,), (1, 1), "of size"),
    "a size of texts": ((array(torch.ones(4)),), 0, ("2",), (1,), "of size"),
    "a claim of more": (
        (array(torch.ones(2), count=2**40),),
        0,
        (2,),
        (1,),
        "array of 1099511627776 numbers in 8 bytes",
    ),
    "a claim of fewer": ((array(torch.ones(2), count=-1),), 0, (2,), (1,), "array of -1 numbers"),
    "half an array": ((array(torch.ones(2))[:-3],), 0, (2,), (1,), "in 5 bytes"),
    "no array": ((b"",), 0, (2,), (1,), "cut short"),
    "a text": (("array",), 0, (2,), (1,), "not of bytes"),
    "two arrays": ((b"", b""), 0, (2,), (1,), "other arguments than it takes"),
}


@pytest.mark.parametrize("what", BROKEN_TENSORS)
def test_tensors_that_their_bytes_do_not_hold_are_refused(tmp_path, what):
    stored, offset, size, stride, match = BROKEN_TENSORS[what]
    view = (Call("torch.storage _load_from_bytes", stored), offset, size, stride, False, None)
    refused(tmp_path, pickled(Call("torch._utils _rebuild_tensor_v2", view)), match)


def test_an_array_is_not_copied_more_often_than_the_file_holds_it(tmp_path):
    take = body(Imported("torch.storage _load_from_bytes"))
    once = b"\x80\x04(" + body((array(torch.ones(1000)),)) + b"\x94" + take + b"h\x00R"
    refused(tmp_path, once + b"t.", "must hold the networks")
    refused(tmp_path, once + (take + b"h\x00R") * 100 + b"t.", "larger arrays than the file could hold")


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    content = pickled(sound())
    for length in np.unique(np.linspace(1, len(content) - 1, 150).astype(int)):
        refused(tmp_path, content[:length], "is not a network pickle")
    refused(tmp_path, b"", "is empty")
    with pytest.raises(FileNotFoundError):
        read_nvidia_pickle(tmp_path / "nowhere.pkl")


def test_bytes_changed_at_random_are_refused_or_read_and_never_run(tmp_path, no_execution):
    content = bytearray(pickled(sound()))
    random = np.random.Generator(np.random.PCG64([0]))
    path = tmp_path / "network.pkl"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        changed = content.copy()
        changed[random.integers(0, len(content))] = random.integers(0, 256)
        path.write_bytes(changed)
        try:
            read_nvidia_pickle(path)
        except ValueError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    assert min(outcomes.values()) > 10


def test_reading_imports_none_of_the_modules_that_a_file_names(tmp_path):
    read_nvidia_pickle(write(tmp_path / "a.pkl", sound()))
    assert not {"torch_utils", "dnnlib", "training"} & sys.modules.keys()
