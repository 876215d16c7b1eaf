"""CIFF's messages as Google's protocol buffers library makes them: the oracle for our codec."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = {
    "Header": "int32 version, int32 num_postings_lists, int32 num_docs, int32 total_postings_lists,"
    " int32 total_docs, int64 total_terms_in_collection, double average_doclength,"
    " string description",
    "Posting": "int32 docid, int32 tf",
    "PostingsList": "string term, int64 df, int64 cf, Posting postings",
    "DocRecord": "int32 docid, string collection_docid, int32 doclength",
}


def _classes():
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ciff.proto", package="ciff", syntax="proto3")
    for message, fields in FIELDS.items():
        made = file.message_type.add(name=message)
        for number, field in enumerate(fields.split(","), 1):
            kind, name = field.split()
            made.field.add(
                name=name,
                number=number,
                label=kinds.LABEL_REPEATED if kind == "Posting" else kinds.LABEL_OPTIONAL,
                type=getattr(kinds, f"TYPE_{kind.upper()}", kinds.TYPE_MESSAGE),
                type_name=".ciff.Posting" if kind == "Posting" else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ciff.{name}"))
        for name in FIELDS
    ]


Header, Posting, PostingsList, DocRecord = _classes()
