#pragma once
// Protobuf's wire format, written directly: https://protobuf.dev/programming-guides/encoding/

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace snakepit::detail {

/** Appends fields to a text. For messages of which there are so many that making objects of them first is what takes
   the time; they are those of proto/, from where the numbers of fields come. A field whose value is the default is left
    out, as protobuf does it. */
class wire_writer {
public:
    /// @param to  outlives it
    explicit wire_writer(std::string& to) : to_(to) {}

    void varint(int field, std::uint64_t n) {
        if (n != 0) put_varint(field, n);
    }
    void fixed32(int field, std::uint32_t n) {
        if (n == 0) return;
        tag(field, format::WIRETYPE_FIXED32);
        std::uint8_t bytes[sizeof n];
        append(bytes, coded::WriteLittleEndian32ToArray(n, bytes));
    }
    void fixed64(int field, std::uint64_t n) {
        if (n != 0) put_fixed64(field, n);
    }
    void bytes(int field, std::string_view text) {
        if (!text.empty()) put_bytes(field, text);
    }
    // Of a oneof, where the default counts as well.
    void put_varint(int field, std::uint64_t n) {
        tag(field, format::WIRETYPE_VARINT);
        varint(n);
    }
    void put_fixed64(int field, std::uint64_t n) {
        tag(field, format::WIRETYPE_FIXED64);
        std::uint8_t bytes[sizeof n];
        append(bytes, coded::WriteLittleEndian64ToArray(n, bytes));
    }
    void put_bytes(int field, std::string_view text) {
        tag(field, format::WIRETYPE_LENGTH_DELIMITED);
        varint(text.size());
        to_.append(text);
    }
    /// @param fill  writes its fields
    template <class Fill>
    void message(int field, Fill fill) {
        tag(field, format::WIRETYPE_LENGTH_DELIMITED);
        const auto at = to_.size();
        to_.push_back('\0');  // room for the length of a short one
        fill();
        const auto length = to_.size() - at - 1;
        if (length < one_byte) {
            to_[at] = static_cast<char>(length);
            return;
        }
        std::uint8_t bytes[longest_varint];
        const auto* end = coded::WriteVarint64ToArray(length, bytes);
        to_.replace(at, 1, as_text(bytes), static_cast<std::size_t>(end - bytes));
    }

private:
    using format = google::protobuf::internal::WireFormatLite;
    using coded = google::protobuf::io::CodedOutputStream;
    static constexpr std::size_t longest_varint = 10;
    static constexpr std::uint64_t one_byte = 0x80;  // is what a varint takes that is less, as most are

    static const char* as_text(const std::uint8_t* bytes) { return reinterpret_cast<const char*>(bytes); }
    void append(const std::uint8_t* begin, const std::uint8_t* end) {
        to_.append(as_text(begin), static_cast<std::size_t>(end - begin));
    }
    void varint(std::uint64_t n) {
        if (n < one_byte) to_.push_back(static_cast<char>(n));
        else long_varint(n);
    }
    [[gnu::noinline]] void long_varint(std::uint64_t n) {  // so that the short ones are written in place
        std::uint8_t bytes[longest_varint];
        append(bytes, coded::WriteVarint64ToArray(n, bytes));
    }
    void tag(int field, format::WireType type) { varint(format::MakeTag(field, type)); }

    std::string& to_;
};

}  // namespace snakepit::detail
