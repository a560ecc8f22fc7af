#pragma once
// A doubly linked list through hooks inside its elements: O(1) to insert and unlink, and no allocation.

#include <cstddef>

namespace snakepit::detail {

/// Put one into an element for each list it can be in at the same time.
template <class T>
struct list_hook {
    T* prev = nullptr;
    T* next = nullptr;
    bool linked = false;
};

template <class T, list_hook<T> T::* Hook>
class intrusive_list {
public:
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T* front() const noexcept { return first_; }
    [[nodiscard]] T* back() const noexcept { return last_; }

    void push_back(T& item) noexcept { insert(nullptr, item); }
    void push_front(T& item) noexcept { insert(first_, item); }
    /// In front of `before`, at the end when that is null.
    void insert(T* before, T& item) noexcept {
        T* const after = before ? (before->*Hook).prev : last_;
        item.*Hook = {after, before, true};
        (after ? (after->*Hook).next : first_) = &item;
        (before ? (before->*Hook).prev : last_) = &item;
        ++size_;
    }
    void erase(T& item) noexcept {
        auto& hook = item.*Hook;
        (hook.prev ? (hook.prev->*Hook).next : first_) = hook.next;
        (hook.next ? (hook.next->*Hook).prev : last_) = hook.prev;
        hook = {};
        --size_;
    }
    T* pop_front() noexcept {
        T* item = first_;
        if (item) erase(*item);
        return item;
    }

private:
    T* first_ = nullptr;
    T* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace snakepit::detail
