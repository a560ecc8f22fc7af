// Directories for the pool's socket that are not private, and what is left of the others. (C39, C40, C51)

#include "support/pool_fixture.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace snakepit::test {
namespace {

class SocketDirectory : public PoolTest {
protected:
    void refused(const fs::path& directory, const std::string& why) {
        auto how = options();
        how.socket_directory = directory.string();
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), how);
            EXPECT_TRUE(failed_saying(co_await p.start(), errc::socket_directory, directory.filename().string(), why));
            EXPECT_TRUE(p.stats().workers.empty());
        });
    }
    [[nodiscard]] fs::path made(const char* name, mode_t mode) const {
        const auto dir = scratch().path() / name;
        fs::create_directory(dir);
        ::chmod(dir.c_str(), mode);
        return dir;
    }
};

TEST_F(SocketDirectory, OpenToOthersIsRefused) {
    refused(made("group", 0750), "chmod 0700");
    refused(made("all", 0755), "0755");
    refused(made("write", 0702), "chmod 0700");
}

TEST_F(SocketDirectory, ASymbolicLinkIsRefused) {
    const auto link = scratch().path() / "link";
    fs::create_symlink(made("real", 0700), link);
    refused(link, "symbolic link");
    refused(fs::path(link.string() + "/"), "symbolic link");
}

TEST_F(SocketDirectory, AFileIsRefused) { refused(scratch().write("file", "text"), "not a directory"); }

TEST_F(SocketDirectory, OfAnotherUserIsRefused) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
    const auto dir = made("theirs", 0700);
    ASSERT_EQ(::chown(dir.c_str(), 65534, 65534), 0);
    refused(dir, "belongs to another user");
}

TEST_F(SocketDirectory, BelowADirectoryThatOthersMayWriteToIsRefused) {
    const auto open = made("open", 0777);
    const auto dir = open / "mine";
    fs::create_directory(dir);
    ::chmod(dir.c_str(), 0700);
    refused(dir, "others can replace it");
    ::chmod(open.c_str(), 01777);  // as /tmp is
    auto how = options();
    how.socket_directory = dir.string();
    with_pool(how, [](pool& p) -> awaitable<> { EXPECT_OK(co_await p.execute("echo", 1)); });
}

TEST_F(SocketDirectory, APathOver107BytesIsRefused) {
    refused(scratch().path() / std::string(90, 'x'), "107");
    EXPECT_FALSE(fs::exists(scratch().path() / std::string(90, 'x')));
}

TEST_F(SocketDirectory, WithoutAParentIsRefused) { refused(scratch().path() / "no" / "such", "No such file"); }

TEST_F(SocketDirectory, IsMadePrivateWhateverTheUmaskAndStays) {
    const auto before = ::umask(0);
    auto how = options();
    how.socket_directory = (scratch().path() / "new").string();
    with_pool(how, [&](pool& p) -> awaitable<> {
        EXPECT_OK(co_await p.execute("echo", 1));
        struct stat s{};
        CO_ASSERT(::stat(how.socket_directory.c_str(), &s) == 0);
        EXPECT_EQ(s.st_mode & 0777u, 0700u);
    });
    ::umask(before);
    EXPECT_TRUE(fs::is_empty(how.socket_directory)) << "the socket goes, a directory that was named stays";
}

TEST_F(SocketDirectory, ARelativePathIsTheOneAtTheStart) {
    const auto here = fs::current_path();
    fs::current_path(scratch().path());
    auto how = options();
    how.socket_directory = "relative";
    with_pool(how, [&](pool& p) -> awaitable<> {
        fs::current_path(here);
        EXPECT_OK(co_await p.execute("echo", 1));
    });
    EXPECT_TRUE(fs::is_empty(scratch().path() / "relative"));
}

TEST_F(SocketDirectory, AWorkingDirectoryThatIsGoneDoesNotMatter) {
    const auto here = fs::current_path();
    const auto gone = made("gone", 0700);
    fs::current_path(gone);
    fs::remove(gone);
    with_pool(options(), [&](pool& p) -> awaitable<> { EXPECT_OK(co_await p.execute("echo", 1)); });
    fs::current_path(here);
}

}  // namespace
}  // namespace snakepit::test
