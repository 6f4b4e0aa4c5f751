// cache: a thumbnail service whose cache has no limit.
//
// Not a leak in the strict sense: every block is still reachable and every destructor runs at exit. The process dies
// of it all the same, which is why the end here is _exit, as the kernel's would be: nothing is freed.
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
#include <unistd.h>

namespace thumbs {

struct Image {
	std::vector<unsigned char> pixels;
};

class Cache {
public:
	// Renders on a miss. Nothing is ever evicted.
	const Image &get(const std::string &name)
	{
		auto &slot = images_[name];
		if (!slot)
			slot = render(name);
		return *slot;
	}
	std::size_t size() const { return images_.size(); }

private:
	static std::unique_ptr<Image> render(const std::string &name)
	{
		auto image = std::make_unique<Image>();
		image->pixels.assign(64 * 64, static_cast<unsigned char>(name.size()));
		return image;
	}
	std::unordered_map<std::string, std::unique_ptr<Image>> images_;
};

} // namespace thumbs

static void serve(thumbs::Cache &cache, int request)
{
	// A version in the key: nearly every request is a miss.
	cache.get("/static/photographs/holiday/" + std::to_string(request % 100) + ".jpeg?v=" + std::to_string(request));
}

int main()
{
	thumbs::Cache cache;
	for (int request = 0; request < 5000; request++)
		serve(cache, request);
	std::printf("%zu thumbnails cached\n", cache.size());
	std::fflush(stdout);
	_exit(0);
}
