#pragma once
// Memory that is looked at here and there: half of what that takes is to find its page.

#include <sys/mman.h>
#include <cstddef>
#include <new>

namespace snakepit::detail {

/// What the kernel can map by one entry of its tables, on the machines that we know.
inline constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Memory from the heap, in huge pages where it is large enough for one and the system has some.
template <class T>
struct huge_allocator {
    using value_type = T;

    huge_allocator() = default;
    template <class U>
    huge_allocator(const huge_allocator<U>&) noexcept {}

    [[nodiscard]] T* allocate(std::size_t n) {
        const auto bytes = n * sizeof(T);
        void* const memory = ::operator new(bytes, alignment(bytes));
        if (bytes >= huge_page) ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t n) noexcept { ::operator delete(memory, alignment(n * sizeof(T))); }

    friend bool operator==(const huge_allocator&, const huge_allocator&) = default;

private:
    static std::align_val_t alignment(std::size_t bytes) noexcept {
        return std::align_val_t(bytes >= huge_page ? huge_page : alignof(T));
    }
};

}  // namespace snakepit::detail
