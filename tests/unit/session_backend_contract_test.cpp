// The backends that come with the library, under the contract.

#include "session_backend_contract.hpp"

#include "session/memory_backend.hpp"

namespace snakepit::testing {
namespace {

/// Time passes when it is told to.
class memory_surroundings final : public backend_surroundings {
public:
    std::shared_ptr<session_backend> make(const session_options& options) override {
        return std::make_shared<detail::memory_backend>(
            options, [now = now_] { return detail::memory_store::time_point(std::chrono::milliseconds(now->load())); });
    }
    void let_pass(std::chrono::milliseconds time) override { *now_ += time.count(); }

private:
    const std::shared_ptr<std::atomic<std::int64_t>> now_ = std::make_shared<std::atomic<std::int64_t>>(123'456'789);
};

std::unique_ptr<backend_surroundings> memory() { return std::make_unique<memory_surroundings>(); }

INSTANTIATE_TEST_SUITE_P(Memory, SessionBackendContract, ::testing::Values(&memory));

TEST(MemoryBackend, IsMadeByItsPublicFactory) {
    const auto backend = make_memory_backend({.max_sessions = 1});
    const auto id = await(backend->open("alice")).value();
    EXPECT_EQ(await(backend->open("alice")).value(), id);
    EXPECT_EQ(await(backend->open("bob")).error(), errc::too_many_sessions);
}

}  // namespace
}  // namespace snakepit::testing
