"""npz, Seismic's binary and JsonVectorCollection, against SciPy, struct and json."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.export.ciff import write_ciff
from sparse_ir.export.npz import read_npz, write_npz
from sparse_ir.export.seismic import SeismicFile, write_seismic
from sparse_ir.export.vector_source import open_vectors, read_vectors

MATRIX = sp.csr_array(np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0.25]], np.float32))


def seismic_bytes(rows):
    parts = [struct.pack("<I", len(rows))]
    for row in rows:
        n = len(row)
        parts.append(struct.pack(f"<I{n}I{n}f", n, *row.keys(), *row.values()))
    return b"".join(parts)


def with_ids(path, ids):
    parts = {name: getattr(MATRIX, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez(path, format=np.array(b"csr"), ids=np.array(ids), **parts)


ROWS = [{1: 1.5, 3: 2.0}, {}, {0: 3.0, 3: 0.25}]


def everything(source, columns=None, n_columns=None):
    parts = list(source.batches(columns or {}, n_columns or source.n_terms))
    documents = [document for batch in parts for document in batch.documents]
    return documents, sp.vstack([batch.weights for batch in parts], format="csr")


class TestNpz:
    def test_scipy_reads_ours_and_we_read_scipys(self, tmp_path):
        n = write_npz(tmp_path / "a.npz", [(["x", "y"], MATRIX[:2]), (["z"], MATRIX[2:])], 4)
        assert n == 3
        assert (sp.load_npz(tmp_path / "a.npz").toarray() == MATRIX.toarray()).all()
        ids, matrix = read_npz(tmp_path / "a.npz")
        assert ids == ["x", "y", "z"]
        assert (matrix.toarray() == MATRIX.toarray()).all()
        sp.save_npz(tmp_path / "b.npz", MATRIX)
        ids, matrix = read_npz(tmp_path / "b.npz")
        assert ids == ["0", "1", "2"]
        assert (matrix.toarray() == MATRIX.toarray()).all()

    def test_refuses(self, tmp_path):
        path = tmp_path / "v.npz"
        path.write_bytes(b"no zip")
        with pytest.raises(DataFormatError, match="v.npz: no CSR matrix"):
            read_npz(path)
        np.savez(path, data=np.zeros(3))
        with pytest.raises(DataFormatError, match="no array 'format'"):
            read_npz(path)
        sp.save_npz(path, MATRIX.tocsc())
        with pytest.raises(DataFormatError, match="format b'csc'; want csr"):
            read_npz(path)
        parts = {"shape": np.array([3, 4]), "data": MATRIX.data, "indptr": MATRIX.indptr}
        np.savez(path, format=np.array(b"csr"), indices=np.array([9, 9, 9, 9]), **parts)
        with pytest.raises(DataFormatError, match="no CSR matrix"):
            read_npz(path)
        np.savez(path, format=np.array(b"csr"), indices=MATRIX.indices, ids=["x"], **parts)
        with pytest.raises(DataFormatError, match="1 ids came for 3 rows"):
            read_npz(path)
        np.savez(path, format=np.array(b"csr"), indices=np.array([{}] * 4), **parts)
        with pytest.raises(DataFormatError, match="allow_pickle"):
            read_npz(path)
        words = parts | {"data": np.array(["1", "2", "3", "4"])}
        np.savez(path, format=np.array(b"csr"), indices=MATRIX.indices, **words)
        with pytest.raises(DataFormatError, match="v.npz: .*(type|dtype)"):
            read_npz(path)

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([["x"], ["y"], ["z"]], "ids of type <U1 in 2 dimension"),
            ("xyz", "ids of type <U3 in 0 dimension"),
            ([1.0, 2.0, 3.0], "ids of type float64 in 1 dimension"),
            ([b"x", b"y", b"\xff"], "no CSR matrix .*utf-8"),
        ],
    )
    def test_refuses_ids(self, tmp_path, ids, message):
        with_ids(tmp_path / "v.npz", ids)
        with pytest.raises(DataFormatError, match=message):
            read_npz(tmp_path / "v.npz")

    def test_ids_of_other_kinds(self, tmp_path):
        with_ids(tmp_path / "v.npz", ["ä".encode(), b"y", b"z"])
        assert read_npz(tmp_path / "v.npz")[0] == ["ä", "y", "z"]
        with_ids(tmp_path / "v.npz", [7, 8, 9])
        assert read_npz(tmp_path / "v.npz")[0] == ["7", "8", "9"]
        write_npz(tmp_path / "v.npz", [(["\0x", "y\0y", "z"], MATRIX)], 4)
        assert read_npz(tmp_path / "v.npz")[0] == ["\0x", "y\0y", "z"]
        with pytest.raises(InvalidInputError, match=r"id 'z\\x00' ends in NUL"):
            write_npz(tmp_path / "w.npz", [(["x", "y", "z\0"], MATRIX)], 4)
        assert not (tmp_path / "w.npz").exists()

    @pytest.mark.parametrize("name", ["data", "shape", "ids"])
    def test_no_room_is_made_for_numbers_that_are_not_there(self, tmp_path, name):
        head = io.BytesIO()
        claimed = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
        np.lib.format.write_array_header_1_0(head, claimed)
        write_npz(tmp_path / "good.npz", [(["x", "y", "z"], MATRIX)], 4)
        with zipfile.ZipFile(tmp_path / "good.npz") as good:
            with zipfile.ZipFile(tmp_path / "v.npz", "w") as bad:
                for member in good.namelist():
                    is_other = member != f"{name}.npy"
                    bad.writestr(member, good.read(member) if is_other else head.getvalue())
        with pytest.raises(DataFormatError, match=rf"{name}.npy has 128 bytes for an array of \("):
            read_npz(tmp_path / "v.npz")

    def test_refuses_an_encrypted_file(self, tmp_path):
        path = tmp_path / "v.npz"
        write_npz(path, [(["x", "y", "z"], MATRIX)], 4)
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1  # the first member's flags
        path.write_bytes(content)
        with pytest.raises(DataFormatError, match="v.npz: no CSR matrix .*encrypted"):
            read_npz(path)

    @settings(deadline=None)
    @given(st.data())
    def test_damaged_files_are_a_clear_error_or_read(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("n") / "v.npz"
        write_npz(path, [(["x", "y", "z"], MATRIX)], 4)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            read_npz(path)
        except DataFormatError as error:
            assert "v.npz: " in str(error)

    def test_a_directory_that_is_further_back_than_it_is(self, tmp_path):
        path = tmp_path / "v.npz"
        write_npz(path, [(["x", "y", "z"], MATRIX)], 4)
        content = bytearray(path.read_bytes())
        (start,) = struct.unpack_from("<I", content, len(content) - 6)  # of the central directory
        struct.pack_into("<I", content, len(content) - 6, start + 1)
        path.write_bytes(content)
        with pytest.raises(DataFormatError, match="v.npz: no CSR matrix .* before the file"):
            read_npz(path)

    def test_a_block_of_no_kind_that_there_is(self, tmp_path):
        path = tmp_path / "v.npz"
        write_npz(path, [(["x", "y", "z"], MATRIX)], 4)
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            at = archive.getinfo("format.npy").header_offset
        at += 30 + sum(struct.unpack_from("<HH", content, at + 26))  # behind the header
        content[at : at + 4] = b"\x07" * 4
        path.write_bytes(content)
        with pytest.raises(DataFormatError, match="v.npz: no CSR matrix .*invalid block type"):
            read_npz(path)


class TestParquet:
    def written(self, path, **columns):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = {
            "id": ["x", "y", "z"],
            "indices": [[1, 3], [], [0, 3]],
            "values": [[1.5, 2], [], [3, 0.25]],
        }
        pq.write_table(pa.table(table | columns), path)
        return open_vectors(path)

    def test_reads_what_pyarrow_writes(self, tmp_path):
        source = self.written(tmp_path / "v.parquet")
        assert (source.n_terms, source.vocabulary) == (4, "")
        documents, matrix = everything(source, n_columns=6)
        assert [one.doc_id for one in documents] == ["x", "y", "z"]
        assert (matrix.toarray()[:, :4] == MATRIX.toarray()).all()
        assert matrix.shape == (3, 6)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"values": [[1.5], [], [3, 0.25]]}, "row 0 has indices and values of different"),
            ({"id": ["x", None, "z"]}, "row 1 has no id"),
            ({"indices": [[1, 3], [], [0, -1]]}, r"row 2 has a term that is not in 0\.\.3"),
            ({"indices": [["a", "b"], [], ["c", "d"]]}, "want the columns id, indices"),
            ({"values": ["a", "", "b"]}, "want the columns id, indices"),
        ],
    )
    def test_refuses_rows(self, tmp_path, columns, message):
        with pytest.raises(DataFormatError, match=message):
            everything(self.written(tmp_path / "v.parquet", **columns))

    def test_refuses_other_files(self, tmp_path):
        pytest.importorskip("pyarrow")
        (tmp_path / "v.parquet").write_bytes(b"no parquet")
        with pytest.raises(DataFormatError, match="v.parquet: no Parquet"):
            open_vectors(tmp_path / "v.parquet")
        with pytest.raises(FileNotFoundError):
            open_vectors(tmp_path / "missing.parquet")


class TestSeismic:
    def test_bytes_by_hand(self, tmp_path):
        write_seismic(tmp_path / "v.bin", [MATRIX[:1], MATRIX[1:]], 3)
        assert (tmp_path / "v.bin").read_bytes() == seismic_bytes(ROWS)

    def test_reading_in_batches(self, tmp_path):
        (tmp_path / "v.bin").write_bytes(seismic_bytes(ROWS))
        file = SeismicFile(tmp_path / "v.bin")
        assert (len(file), file.n_terms) == (3, 4)
        for size in (1, 2, 3, 9):
            found = sp.vstack(list(file.batches(4, size)), format="csr")
            assert (found.toarray() == MATRIX.toarray()).all()

    def test_no_rows(self, tmp_path):
        (tmp_path / "v.bin").write_bytes(seismic_bytes([]))
        assert (len(SeismicFile(tmp_path / "v.bin")), SeismicFile(tmp_path / "v.bin").n_terms) == (
            0,
            1,
        )

    @settings(deadline=None)
    @given(st.binary(max_size=80))
    def test_any_bytes_are_vectors_or_a_clear_error(self, tmp_path_factory, content):
        path = tmp_path_factory.mktemp("s") / "v.bin"
        path.write_bytes(content)
        try:
            file = SeismicFile(path)
        except DataFormatError as error:
            assert "v.bin: at byte" in str(error)
        else:
            assert len(content) == 4 + 4 * len(file) + 8 * sum(m.nnz for m in file.batches(2**32))

    @pytest.mark.parametrize("cut", [2, 6, 11, 30])
    def test_cut_short(self, tmp_path, cut):
        (tmp_path / "v.bin").write_bytes(seismic_bytes(ROWS)[:cut])
        with pytest.raises(DataFormatError, match="v.bin: at byte"):
            SeismicFile(tmp_path / "v.bin")


LINES = [
    {"id": "a", "contents": "some text", "vector": {"fox": 1.5, "##es": 2}, "year": 7},
    {"id": 2, "contents": "", "vector": {}},
    {"id": "c", "vector": {"hen": 3, "##es": 0.25}},
]


class TestOpenVectors:
    def test_json_files_and_folders(self, tmp_path):
        text = "\n".join(map(json.dumps, LINES[:2])) + "\n\n"
        (tmp_path / "a.jsonl").write_text(text)
        with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
            file.write(json.dumps(LINES[2]))
        source = open_vectors(tmp_path)
        assert source.terms == ["##es", "fox", "hen"]
        documents, matrix = everything(source, {"##es": 3, "fox": 1, "hen": 0}, 4)
        assert [d.doc_id for d in documents] == ["a", "2", "c"]
        assert (documents[0].text, documents[0].metadata) == ("some text", {"year": 7})
        assert (matrix.toarray() == MATRIX.toarray()).all()
        assert open_vectors(tmp_path / "a.jsonl").terms == ["##es", "fox"]

    def test_ciff(self, tmp_path):
        whole = sp.csr_array(MATRIX * 4)
        write_ciff(tmp_path / "v.ciff", ["x", "y", "z"], whole, ["t0", "t1", "t2", "t3"])
        source = open_vectors(tmp_path / "v.ciff")
        columns = {"t0": 0, "t1": 1, "t3": 3}
        documents, matrix = everything(source, columns, 4)
        assert [d.doc_id for d in documents] == ["x", "y", "z"]
        assert (matrix.toarray() == whole.toarray()).all()

    def test_numbered_kinds(self, tmp_path):
        write_npz(tmp_path / "v.npz", [(["x", "y", "z"], MATRIX)], 4)
        write_seismic(tmp_path / "v.bin", [MATRIX], 3)
        for name, ids in (("v.npz", ["x", "y", "z"]), ("v.bin", ["0", "1", "2"])):
            source = open_vectors(tmp_path / name)
            assert (source.terms, source.n_terms) == (None, 4)
            documents, matrix = everything(source, None, 6)
            assert [d.doc_id for d in documents] == ids
            assert matrix.shape == (3, 6)
            assert (matrix.toarray()[:, :4] == MATRIX.toarray()).all()

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"id": "a"', "v.jsonl:1: not JSON"),
            ("[]", "v.jsonl:1: a JSON list came"),
            ('{"vector": {}}', "v.jsonl:1: the id None came"),
            ('{"id": "a", "vector": [1]}', "v.jsonl:1: the vector is a list"),
            ('{"id": "a", "vector": {"x": -1}}', "v.jsonl:1: term 'x' with weight -1"),
            ('{"id": "a", "vector": {"x": "1"}}', "v.jsonl:1: term 'x' with weight '1'"),
            ('{"id": "a", "vector": {"x": NaN}}', "v.jsonl:1: term 'x' with weight nan"),
            ('{"id": "a", "vector": {}, "contents": 1}', "v.jsonl:1: contents is a int"),
            ('{"id": "a", "vector": {"x": 1e39}}', "v.jsonl:1: term 'x' with weight 1e[+]39"),
            (
                '{"id": "a", "vector": {"x": 1' + "0" * 400 + "}}",
                "v.jsonl:1: term 'x' with weight 10{39} came; want a number >= 0, at most 3.4e",
            ),
            ('{"id": "a", "vector": {"x": ' + "9" * 5000 + "}}", "v.jsonl:1: a number of thousand"),
            ('{"id": "a", "vector": {}, "n": ' + "[" * 99_999, "v.jsonl:1: JSON of too many lev"),
            ('{"id": "a", "vector": {"x": 1, "x": 2}}', "v.jsonl:1: the key 'x' twice"),
            ('{"id": "a", "vector": {"\\ud800": 1}}', "v.jsonl:1: a term holds half a surrogate"),
            ('{"id": "a", "vector": {}, "contents": "\\ud800"}', "v.jsonl:1: contents holds half"),
            ('{"id": "\\ud800", "vector": {}}', "v.jsonl:1: the id holds half a surrogate"),
            ('{"id": "a", "vector": {}, "n": NaN}', "v.jsonl:1: metadata that is not JSON"),
        ],
    )
    def test_malformed_lines(self, tmp_path, line, message):
        (tmp_path / "v.jsonl").write_text(line)
        with pytest.raises(DataFormatError, match=message):
            open_vectors(tmp_path / "v.jsonl")

    def test_other_sources(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            open_vectors(tmp_path / "nothing.npz")
        with pytest.raises(FileNotFoundError):
            open_vectors(tmp_path / "nothing.xyz")
        with pytest.raises(InvalidInputError, match="holds no .jsonl"):
            open_vectors(tmp_path)
        (tmp_path / "v.feather").touch()
        with pytest.raises(InvalidInputError, match="is of no known kind"):
            open_vectors(tmp_path / "v.feather")

    def test_ids_are_unique_over_all_sources(self, tmp_path):
        (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, LINES)))
        write_npz(tmp_path / "v.npz", [(["x", "y", "c"], MATRIX)], 4)
        sources = [open_vectors(tmp_path / name) for name in ("v.jsonl", "v.npz")]
        message = r"v.npz, row 2: the id 'c' of .*v.jsonl:3 again came; want each id once"
        with pytest.raises(DataFormatError, match=message):
            list(read_vectors(sources, {"##es": 3, "fox": 1, "hen": 0}, 4))

    def test_ids_are_unique_over_all_batches(self, tmp_path):
        ids = [str(i) for i in range(9000)]  # more than a batch
        ids[8250] = "3"
        write_npz(tmp_path / "v.npz", [(ids, sp.csr_array((9000, 4), dtype=np.float32))], 4)
        with pytest.raises(DataFormatError, match=r"v.npz, row 8250: the id '3' of .*, row 3 "):
            list(read_vectors([open_vectors(tmp_path / "v.npz")], {}, 4))

    @pytest.mark.parametrize(
        ("weight", "shown"), [(np.nan, "nan"), (-1, "-1.0"), (np.inf, "inf"), (1e39, "inf")]
    )
    def test_bad_weights_are_said_with_file_and_row(self, tmp_path, weight, shown):
        values = np.ones((8200, 4))  # more than a batch
        values[8195, 2] = weight
        sp.save_npz(tmp_path / "v.npz", sp.csr_array(values))
        message = rf"v.npz: row 8195, term 2 has weight {shown}; want a finite"
        with pytest.raises(DataFormatError, match=message):
            list(read_vectors([open_vectors(tmp_path / "v.npz")], {}, 4))

    @pytest.mark.parametrize(
        ("doc_id", "message"),
        [("", "v.npz, row 1: an empty id"), ("\ud800", "row 1: the id holds")],
    )
    def test_bad_ids_are_said_with_file_and_row(self, tmp_path, doc_id, message):
        write_npz(tmp_path / "v.npz", [(["x", doc_id, "z"], MATRIX)], 4)
        with pytest.raises(DataFormatError, match=message):
            list(read_vectors([open_vectors(tmp_path / "v.npz")], {}, 4))

    def test_a_term_that_the_index_does_not_have(self, tmp_path):
        (tmp_path / "v.jsonl").write_text(json.dumps(LINES[0]))
        source = open_vectors(tmp_path / "v.jsonl")
        with pytest.raises(DataFormatError, match="v.jsonl:1: the term '##es' came"):
            list(source.batches({"fox": 0}, 1))
