package lora

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// maxRank is a bound on r that no layer of a vision model reaches.
const maxRank = 1 << 16

// inits are the values of init_lora_weights. Those that are true here change
// the base model's weights when training begins, so A and B alone do not give
// the trained model.
var inits = map[string]bool{"true": false, "false": false, "gaussian": false, "eva": false, "orthogonal": false, "mica": false,
	"pissa": true, "olora": true, "corda": true, "loftq": true, "lora_ga": true}

// foreign are PEFT's keys that change what the adapter computes and that
// vislora has no equivalent of.
var foreign = []string{"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "monteclora_config",
	"target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora"}

// Validate reports everything that is wrong with the configuration by itself,
// without a model; the problems are joined with [errors.Join].
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.PeftType != "LORA" {
		bad("peft_type %q is not supported: vislora runs LORA adapters", c.PeftType)
	}
	checkRank := func(where string, r int) {
		if r < 1 || r > maxRank {
			bad("%s is %d, wanted 1 to %d", where, r, maxRank)
		}
	}
	checkAlpha := func(where string, a float64) {
		if a == 0 || math.IsNaN(a) || math.IsInf(a, 0) {
			bad("%s is %g, wanted a finite number that is not zero: the adapter is scaled by alpha/r", where, a)
		}
	}
	checkRank("r", c.R)
	checkAlpha("lora_alpha", c.LoraAlpha)
	for _, e := range c.RankPattern {
		checkRank(fmt.Sprintf("rank_pattern %q", e.Key), e.Value)
	}
	for _, e := range c.AlphaPattern {
		checkAlpha(fmt.Sprintf("alpha_pattern %q", e.Key), e.Value)
	}
	if !(c.LoraDropout >= 0 && c.LoraDropout < 1) {
		bad("lora_dropout is %g, wanted at least 0 and less than 1", c.LoraDropout)
	}
	if !slices.Contains([]string{"none", "all", "lora_only"}, c.Bias) {
		bad("bias is %q, wanted none, all or lora_only", c.Bias)
	}
	init := string(c.InitLoraWeights)
	changesBase, ok := inits[init]
	switch pissa := strings.HasPrefix(init, "pissa_niter_"); {
	case !ok && !pissa:
		bad("init_lora_weights is %q, wanted true, false or gaussian", init)
	case changesBase || pissa:
		bad("init_lora_weights is %q, which changes the base weights when training begins: "+
			"convert the adapter to plain LoRA in PEFT (save_pretrained with path_initial_model_for_weight_conversion)", init)
	}
	if c.LoraBias && c.UseDoRA {
		bad("lora_bias and use_dora exclude each other, in PEFT too: turn one of them off")
	}
	if c.LoraBias && init != "true" && init != "false" {
		bad("lora_bias wants init_lora_weights true or false, it is %q", init)
	}
	if c.TargetModules.Pattern != "" && len(c.LayersToTransform) > 0 {
		bad("layers_to_transform needs a list in target_modules, which is the string %q: put the block numbers into it", c.TargetModules.Pattern)
	}
	if len(c.LayersPattern) > 0 && len(c.LayersToTransform) == 0 {
		bad("layers_pattern is set and layers_to_transform is not: say which blocks")
	}
	for _, list := range []struct {
		name    string
		entries []string
	}{{"target_modules", c.TargetModules.List}, {"exclude_modules", c.ExcludeModules.List}, {"modules_to_save", c.ModulesToSave}} {
		if slices.Contains(list.entries, "") {
			bad("%s has an empty name", list.name)
		}
	}
	if c.Marks != nil && c.Marks.Format != marksFormat {
		bad("%s has format %d, this vislora reads %d: use the version that wrote it", marksKey, c.Marks.Format, marksFormat)
	}
	_, patternErrs := compileMatcher(c)
	errs = append(errs, patternErrs...)
	for _, m := range c.raw {
		v := string(m.value)
		if slices.Contains(foreign, m.key) && v != "null" && v != "false" && v != "[]" && v != "{}" {
			bad("%s is set to %.60s, which vislora does not have: the adapter would compute something else", m.key, v)
		}
	}
	return errors.Join(errs...)
}
