#pragma once
// A page as its worker sees it.

#include "process/page.hpp"

#include <sys/mman.h>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace snakepit::test {

/// Mapped as py/snakepit/_page.py does it.
class worker_page {
public:
    worker_page() : shared_(detail::page::make().value()), descriptor_(shared_.take_descriptor()) {
        memory_ = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor_.get(), 0);
    }
    worker_page(const worker_page&) = delete;
    worker_page& operator=(const worker_page&) = delete;
    ~worker_page() { ::munmap(memory_, bytes); }

    [[nodiscard]] detail::page::revocations revoked() const { return shared_.revoked(); }
    /// Whether the lease of a call has not been revoked.
    [[nodiscard]] bool holds(std::uint64_t call) const {
        auto* const words = reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(memory_) + revoked_at);
        return std::atomic_ref<std::uint64_t>(words[call % calls]).load() < call;
    }

private:
    static constexpr std::size_t calls = 4096;
    static constexpr std::size_t revoked_at = 8 * calls + (std::size_t{272} << 10);
    static constexpr std::size_t bytes = revoked_at + 8 * calls;

    detail::page shared_;
    detail::unique_fd descriptor_;
    void* memory_ = nullptr;
};

}  // namespace snakepit::test
