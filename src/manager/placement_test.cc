#include "manager/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/memory_budget.h"
#include "manager/placement_test_support.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

PlacementRequest request(Fallback fallback = Fallback::kPrefer) {
  PlacementRequest request;
  request.model = "bart";
  request.gpu_cost = {.shared_weights = 10 * kGiB, .workspace = 2 * kGiB, .loading = 0};
  request.fallback = fallback;
  return request;
}

// Makes instances until there is no place for another, each taking what it costs of its device.
std::map<std::string, int64_t> fill(DescribedMachine& machine, PlacementRequest wanted, int64_t most) {
  for (int64_t i = 0; i < most; ++i) {
    const auto place = next_place(wanted, machine.devices());
    if (!place) break;
    const int64_t before = wanted.instances[place->device]++;
    if (place->device == "cpu") continue;
    Device& gpu = machine.gpu(std::stoul(place->device.substr(5)));
    gpu.memory_available -= wanted.gpu_cost.workspace + (before == 0 ? wanted.gpu_cost.shared_weights : 0);
  }
  return wanted.instances;
}

TEST(Placement, WithoutGpusItIsTheCpuAndNothingWasFallenBackFrom) {
  DescribedMachine machine({});
  for (const Fallback fallback : {Fallback::kRequire, Fallback::kPrefer, Fallback::kSpill}) {
    const auto place = next_place(request(fallback), machine.devices());
    ASSERT_TRUE(place);
    EXPECT_EQ(place->device, "cpu");
    EXPECT_EQ(place->fell_back, "");
  }
}

TEST(Placement, AGpuThatIsDemandedAndNotThereIsAnError) {
  DescribedMachine machine({20 * kGiB});
  PlacementRequest wanted = request();
  wanted.demand = "device cuda:3";
  wanted.device = "cuda:3";
  EXPECT_THAT([&] { next_place(wanted, machine.devices()); },
              ThrowsMessage<Error>(AllOf(HasSubstr("there is no cuda:3 that"), HasSubstr("has cuda:0 (GPU);"),
                                         HasSubstr("name one that works, or set device to auto or cpu"))));
  wanted.demand = "masx_force_gpu";
  wanted.device.reset();
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cuda:0");
  machine.gpu(0).problem = "it fell off the bus";
  EXPECT_THAT([&] { next_place(wanted, machine.devices()); },
              ThrowsMessage<Error>(HasSubstr("cuda:0 can't be used: it fell off the bus")));
}

TEST(Placement, TheCpuThatIsDemandedIsTaken) {
  DescribedMachine machine({70 * kGiB});
  PlacementRequest wanted = request();
  wanted.force_cpu = true;
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cpu");
}

TEST(Placement, TheGpuWithMostMemoryFreeWhereItFits) {
  DescribedMachine machine({11 * kGiB, 40 * kGiB, 30 * kGiB});
  EXPECT_EQ(next_place(request(), machine.devices())->device, "cuda:1");
  machine.gpu(1).memory_available = 5 * kGiB;  // Taken by others meanwhile.
  EXPECT_EQ(next_place(request(), machine.devices())->device, "cuda:2");
  machine.gpu(2).problem = "it fails";
  EXPECT_NE(next_place(request(), machine.devices())->fell_back, "") << "12 GiB don't fit into 11";
  machine.gpu(0).memory_available = 12 * kGiB;
  EXPECT_EQ(next_place(request(), machine.devices())->device, "cuda:0");
}

TEST(Placement, OneThatWasAskedForByNameIsTakenThoughAnotherHasMore) {
  DescribedMachine machine({20 * kGiB, 40 * kGiB});
  PlacementRequest wanted = request();
  wanted.device = "cuda:0";
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cuda:0");
}

TEST(Placement, WhereTheWeightsAreAnInstanceTakesItsWorkspaceAlone) {
  DescribedMachine machine({3 * kGiB});
  PlacementRequest wanted = request();
  EXPECT_NE(next_place(wanted, machine.devices())->fell_back, "");
  wanted.instances["cuda:0"] = 1;
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cuda:0");
}

TEST(Placement, RequireSaysWhatIsMissingAndThenKeepsToWhatItHas) {
  DescribedMachine machine({11 * kGiB});
  EXPECT_THAT([&] { next_place(request(Fallback::kRequire), machine.devices()); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("10737418240 bytes of weights"),
                                               HasSubstr("cuda:0 has 11811160064 bytes available"))));
  machine.gpu(0).memory_available = 15 * kGiB;
  EXPECT_EQ(fill(machine, request(Fallback::kRequire), 100), (std::map<std::string, int64_t>{{"cuda:0", 2}}));
}

TEST(Placement, RequireWaitsForWhatOthersHaveAndRefusesWhatCanNeverFit) {
  DescribedMachine machine({11 * kGiB});
  EXPECT_THROW(next_place(request(Fallback::kRequire), machine.devices()), NoRoomYet);
  machine.gpu(0).memory_total = 12 * kGiB;  // Of which a budget keeps some free.
  try {
    next_place(request(Fallback::kRequire), machine.devices());
    ADD_FAILURE() << "it is too small";
  } catch (const NoRoomYet& error) {
    ADD_FAILURE() << error.what();
  } catch (const OutOfMemory& error) {
    EXPECT_THAT(error.what(), HasSubstr("10737418240 bytes of weights"));
  }
  EXPECT_NE(next_place(request(Fallback::kPrefer), machine.devices())->fell_back, "");
}

TEST(Placement, WhoRequiresAGpuIsToldWhereNoneCanBeUsedRatherThanThatMemoryIsMissing) {
  DescribedMachine machine({40 * kGiB, 30 * kGiB});
  machine.gpu(0).problem = "remuda's library has no kernels for BART";
  EXPECT_EQ(next_place(request(Fallback::kRequire), machine.devices())->device, "cuda:1");
  machine.gpu(1).problem = "its driver is too old";
  try {
    next_place(request(Fallback::kRequire), machine.devices());
    ADD_FAILURE() << "there is no place";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("bart: a GPU is demanded (fallback is require)"),
                                    HasSubstr("cuda:0 can't be used: remuda's library has no kernels for BART"),
                                    HasSubstr("cuda:1 can't be used: its driver is too old"),
                                    HasSubstr("set fallback to prefer or spill")));
  }
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kSpill}) {
    EXPECT_EQ(next_place(request(fallback), machine.devices())->device, "cpu");
  }
}

TEST(Placement, OneThatIsLostIsLeftAsTheSettingsSayAndElseIsAnErrorThatNamesIt) {
  DescribedMachine machine({40 * kGiB, 30 * kGiB});
  const auto lose = [&machine](size_t number) {
    machine.gpu(number).problem = "it fell off the bus";
    machine.gpu(number).is_lost = true;
  };
  lose(0);
  PlacementRequest on_it = request(Fallback::kRequire);
  on_it.instances["cuda:0"] = 3;  // Which are on their way out.
  EXPECT_EQ(next_place(on_it, machine.devices())->device, "cuda:1");
  PlacementRequest demanded = request();
  demanded.demand = "device cuda:0";
  demanded.device = "cuda:0";
  const auto names_it = AllOf(HasSubstr("cuda:0 can't be used: it fell off the bus"), HasSubstr("(device cuda:0)"));
  EXPECT_THAT([&] { next_place(demanded, machine.devices()); }, ThrowsMessage<DeviceError>(names_it));
  lose(1);
  EXPECT_THAT([&] { next_place(on_it, machine.devices()); },
              ThrowsMessage<DeviceError>(HasSubstr("(fallback is require)")));
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kSpill}) {
    on_it.fallback = fallback;
    EXPECT_EQ(next_place(on_it, machine.devices())->device, "cpu");
  }
}

TEST(Placement, OneWithoutMemoryToComputeWithIsAvoidedWhateverIsSaidOfIt) {
  DescribedMachine machine({40 * kGiB, 13 * kGiB});
  PlacementRequest wanted = request();
  wanted.avoided = {{"cuda:0", "out of memory"}};
  wanted.instances["cuda:0"] = 1;
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cuda:1");
  machine.gpu(1).memory_available = 0;
  EXPECT_EQ(next_place(wanted, machine.devices())->device, "cpu") << "the instance there is no help";
  wanted.fallback = Fallback::kRequire;
  EXPECT_THROW(next_place(wanted, machine.devices()), NoRoomYet);
}

TEST(Placement, PreferFallsBackAsAWholeAndSpillForTheOverflow) {
  DescribedMachine full({kGiB});
  EXPECT_THAT(next_place(request(), full.devices())->fell_back, HasSubstr("cuda:0 has 1073741824 bytes available"));
  EXPECT_EQ(fill(full, request(Fallback::kPrefer), 3), (std::map<std::string, int64_t>{{"cpu", 3}}));
  DescribedMachine half({16 * kGiB});
  EXPECT_EQ(fill(half, request(Fallback::kPrefer), 10), (std::map<std::string, int64_t>{{"cuda:0", 3}}));
  DescribedMachine again({16 * kGiB});
  EXPECT_EQ(fill(again, request(Fallback::kSpill), 10), (std::map<std::string, int64_t>{{"cpu", 7}, {"cuda:0", 3}}));
}

TEST(Placement, EightGpusAreFilledByWhatIsFree) {
  DescribedMachine machine(std::vector<uint64_t>(8, 40 * kGiB));
  machine.gpu(5).problem = "it fails";
  machine.gpu(6).memory_available = 13 * kGiB;
  const auto instances = fill(machine, request(), 1000);
  // 15 workspaces beside the weights on each of six, one on the one that is nearly full.
  EXPECT_EQ(instances.size(), 7u);
  for (const auto& [device, count] : instances) EXPECT_EQ(count, device == "cuda:6" ? 1 : 15) << device;
  EXPECT_FALSE(instances.contains("cuda:5"));
}

TEST(Placement, BudgetsOfGpusFollowWhatTheProviderSays) {
  auto machine = std::make_shared<DescribedMachine>(std::vector<uint64_t>{40 * kGiB});
  const auto before = set_device_provider(machine);
  EXPECT_EQ(memory_available("cuda:0"), 40 * kGiB);
  EXPECT_EQ(memory_available("cuda:1"), std::nullopt);
  EXPECT_EQ(current_devices().size(), 2u);
  machine->gpu(0).problem = "it fails";
  EXPECT_EQ(memory_available("cuda:0"), std::nullopt);
  set_device_provider(before);
  EXPECT_EQ(current_devices().at(0).id, "cpu");
}

}  // namespace
}  // namespace remuda
