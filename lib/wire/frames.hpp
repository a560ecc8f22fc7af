#pragma once
// Frames to and from protobuf, and large values put together from their chunks.

#include "pool/line.hpp"
#include "pool/question.hpp"
#include "pool/switchboard.hpp"
#include "process/page.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace snakepit::v1 {
class Ask;
class Chunk;
class Reply;
class WorkDown;
class WorkUp;
}  // namespace snakepit::v1

namespace snakepit::detail {

void encode_frame(const out_frame& from, v1::WorkDown& to);

/// A Finding, encoded.
[[nodiscard]] std::string encode_finding(const finding& what);

/// A reply that a worker has left behind, decoded. Nothing when it cannot be read.
[[nodiscard]] std::optional<settlement> settlement_of(std::uint64_t id, const page::reply& left);

/// What a worker says in one frame, in the order in which it is to be taken in.
struct in_frame {
    std::vector<session_write> writes;
    std::vector<arrived_items> items;
    std::vector<arrived_grant> grants;
    std::vector<settlement> replies;
    std::vector<question> questions;

    void clear() {
        writes.clear();
        items.clear();
        grants.clear();
        replies.clear();
        questions.clear();
    }
};

/** Reads one worker's frames; believes nothing in them.

    @par Thread safety  none: one frame after the other */
class frame_reader {
public:
    explicit frame_reader(std::size_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}

    /// Appends what a frame says, replies decoded.
    /// @return  the breach of protocol, if there is one; the worker must be cut off then
    [[nodiscard]] std::optional<std::string> read(v1::WorkUp& frame, in_frame& into);

private:
    struct transfer {
        std::size_t total = 0;
        std::string data;
    };
    std::optional<std::string> take(const v1::Chunk& chunk);
    std::optional<std::string> take(v1::Reply& reply, settlement& into);
    std::optional<std::string> take(const v1::Ask& ask, question& into);
    std::optional<std::string> take_streams(v1::WorkUp& frame, in_frame& into) const;
    static std::optional<std::string> take_writes(v1::WorkUp& frame, std::vector<session_write>& into);
    std::optional<std::string> take_transfer(std::uint64_t number, std::string& into);

    const std::size_t max_message_bytes_;
    std::unordered_map<std::uint64_t, transfer> open_;
    std::size_t open_bytes_ = 0;
};

}  // namespace snakepit::detail
