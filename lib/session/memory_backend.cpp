#include "session/memory_backend.hpp"

namespace snakepit {

session_backend::~session_backend() = default;

std::shared_ptr<session_backend> make_memory_backend(const session_options& options) {
    return std::make_shared<detail::memory_backend>(options);
}

namespace detail {

asio::awaitable<result<session_id>> memory_backend::open(std::string key) {
    co_return store_->open(std::move(key), now_());
}
asio::awaitable<result<std::vector<stored_variable>>> memory_backend::read(session_id id,
                                                                           std::vector<std::string> names) {
    co_return store_->read(id, names, now_());
}
asio::awaitable<result<std::vector<std::uint64_t>>> memory_backend::write(session_id id,
                                                                          std::vector<session_change> changes) {
    co_return store_->write(id, std::move(changes), now_());
}
asio::awaitable<result<std::vector<std::string>>> memory_backend::names(session_id id) {
    co_return store_->names(id, now_());
}
asio::awaitable<result<void>> memory_backend::expire_after(session_id id, std::chrono::milliseconds ttl) {
    co_return store_->expire_after(id, ttl, now_());
}
asio::awaitable<result<void>> memory_backend::close(session_id id) { co_return store_->close(id, now_()); }
asio::awaitable<result<std::shared_ptr<void>>> memory_backend::watch(session_id id,
                                                                     std::function<void(const session_event&)> tell) {
    co_return store_->watch(id, std::move(tell), now_());
}

}  // namespace detail
}  // namespace snakepit
