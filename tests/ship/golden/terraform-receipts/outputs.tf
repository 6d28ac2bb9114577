output "hostnames" {
  value = module.service.dns_hostnames
}

output "cluster" {
  value = module.service.cluster_name
}

output "log_group" {
  value = module.service.cloudwatch_log_group_name
}

output "scaling_group" {
  value = module.service.asg_name
}
