package engine

import "testing"

// TestRecompute trains with activations kept and computed again: weights and
// state are the same files, from less memory.
func TestRecompute(t *testing.T) {
	pictures := pictureFolder(t, 2, 6, 2)
	shelf, leaves, smear := shelfOf(t, 4, 2), leavesOf(t, 4, 2, polygonOrRLE), smearOf(t, 4, 2, false)
	one := func(c *TrainConfig) { c.Epochs = 1 }
	dropout := func(c *TrainConfig) { c.Epochs, c.LoRA.LoraDropout = 2, .2 }
	for _, c := range []struct {
		name string
		make func() TrainConfig
	}{
		{"vit, dropout", func() TrainConfig { return quick(t, tinyViT(5).File(t), pictures, dropout) }},
		{"cnn, dropout", func() TrainConfig { return quick(t, tinyCNN(5, 32).File(t), pictures, dropout) }},
		{"cnn, full", func() TrainConfig {
			return quick(t, tinyCNN(5, 32).File(t), pictures, func(c *TrainConfig) { c.Mode = ModeFull })
		}},
		{"detect, cnn", func() TrainConfig { return quickDetect(t, sampleCNN, shelf, one) }},
		{"detect, vit", func() TrainConfig { return quickDetect(t, sampleViT, shelf, one) }},
		{"instance, cnn", func() TrainConfig { return quickInstance(t, sampleCNN, leaves, one) }},
		{"segment, vit", func() TrainConfig { return quickSegment(t, sampleViT, smear, one) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var dirs []string
			var arenas []int
			for _, again := range []bool{false, true} {
				cfg := c.make()
				cfg.Recompute = again
				r := start(t, cfg)
				set, err := r.train.prepare(4)
				if err != nil {
					t.Fatal(err)
				}
				arenas = append(arenas, set.shards[0].program.ArenaBytes)
				cfg = c.make()
				cfg.Recompute = again
				dirs = append(dirs, mustTrain(t, cfg).Dir)
			}
			sameBytes(t, "recomputed", dirs[0], dirs[1])
			t.Logf("arena %d to %d KiB", arenas[0]>>10, arenas[1]>>10)
			if arenas[1] >= arenas[0] {
				t.Errorf("the arena did not shrink: %d to %d bytes", arenas[0], arenas[1])
			}
		})
	}
}
